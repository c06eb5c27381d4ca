"""Webhook targets: which URLs a tenant may register, in every spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mailroom.domain.delivery.webhook_targets import TargetFault, WebhookTargets
from mailroom.testing.api import settings

USUAL = WebhookTargets()
URL, NOT_HTTPS, PORT, ADDRESS = TargetFault.URL, TargetFault.NOT_HTTPS, TargetFault.PORT, TargetFault.ADDRESS


@pytest.mark.parametrize(
    "url",
    ["https://hooks.acme.test/", "https://hooks.acme.test", "https://HOOKS.Acme.Test/x?y=1#z", "https://hooks.acme.test:443/",
     "https://hooks.acme.test:/", "https://hooks.acme.test:0443/", "https://hooks.acme.test./", "https://8.8.8.8/", "https://[2a00::1]/",
     "https://xn--strae-oqa.de/", "https://my_hook.acme.test/", "HTTPS://acme.test/", "https://acme.test//@10.0.0.1/", "https://1.acme.test/",
     "https://acme.test?u=http://10.0.0.1/"],
)  # fmt: skip
def test_public_https_urls_are_allowed(url: str) -> None:
    """Any public name of a customer's service."""
    assert USUAL.url_fault(url) is None


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://10.0.0.1/", ADDRESS), ("https://127.1/", ADDRESS), ("https://2130706433/", ADDRESS), ("https://0x7f000001/", ADDRESS),
        ("https://0x7f.0.0.0x1/", ADDRESS), ("https://0177.0.0.1/", ADDRESS), ("https://127.0.0.1./", ADDRESS), ("https://0/", ADDRESS),
        ("https://8.8/", ADDRESS), ("https://1.2.3.4.5/", ADDRESS), ("https://acme.test.0x/", ADDRESS), ("https://[::1]/", ADDRESS),
        ("https://[::]/", ADDRESS), ("https://[::ffff:169.254.169.254]/", ADDRESS), ("https://[fd00:ec2::254]/", ADDRESS),
        ("https://[1.2.3.4]/", URL), ("https://localhost/", ADDRESS), ("https://a.LOCALHOST./", ADDRESS), ("https://db/", ADDRESS),
        ("https://metadata.google.internal/", ADDRESS), ("https://printer.local/", ADDRESS), ("https://./", URL), ("https://.../", URL),
        ("https://[fe80::1%25eth0]/", URL), ("https://[fe80::1%eth0]/", URL), ("https://[2a00::1%251]/", URL), ("https://[v1.x]/", URL),
        ("https://[2a00::1]x.test/", URL), ("https://[2a00::1/", URL), ("https://2a00::1/", URL), ("https://a..test/", URL),
        ("https://-a.test/", URL), ("https://" + "a" * 64 + ".test/", URL), ("https://" + "a." * 127 + "test/", URL), ("https://%61.test/", URL),
        ("https://acme.test%2f@x.test/", URL), ("https://ann:pw@acme.test/", URL), ("https://@acme.test/", URL), ("https://acme.test\\@x.test/", URL),
        ("https://acme.test\\.x.test/", URL), ("https://acmé.test/", URL), ("https://acme.test/é", URL), ("https://acme。test/", URL), ("https:///acme.test/", URL),
        ("https:acme.test/", URL), ("//acme.test/", URL), ("acme.test", URL), ("", URL), ("https://acme.test/\n", URL), ("\thttps://acme.test/", URL),
        ("https://acme.\ttest/", URL), ("https://acme.test/ x", URL), ("https://acme.test/" + "a" * 2_000, URL), ("https://acme.test:0/", URL),
        ("https://acme.test:65536/", URL), ("https://acme.test:99999999999999999999/", URL), ("https://acme.test:-1/", URL), ("https://acme.test:a/", URL),
        ("ftp://acme.test/", URL), ("file:///etc/passwd", URL), ("javascript:alert(1)", URL), ("unix:///run/x", URL), ("http://acme.test/", NOT_HTTPS),
        ("http://acme.test:443/", NOT_HTTPS), ("https://acme.test:8443/", PORT), ("https://acme.test:80/", PORT), ("https://8.8.8.8:22/", PORT),
        ("https://[2a00::1]:25/", PORT), ("https://10.0.0.1:8443/", ADDRESS),
    ],
)  # fmt: skip
def test_other_urls_are_refused_with_their_reason(url: str, fault: TargetFault) -> None:
    """The reason is what a customer reads: an address in disguise, another port, or no URL of a webhook at all."""
    assert USUAL.url_fault(url) is fault
    assert fault.sentence.startswith(("the URL must ", "the host must ", "the port must "))


@given(st.text(max_size=60) | st.from_regex(r"https://[ -~]{0,40}(:[0-9]{0,6})?/?", fullmatch=True))
def test_any_text_gets_an_answer(url: str) -> None:
    """No text of a caller causes an unforeseen error."""
    assert USUAL.url_fault(url) in (None, *TargetFault)


def test_an_administrator_allows_more_ports() -> None:
    """443 is allowed only while it is named: the list is complete."""
    targets = WebhookTargets.read("443, 8443 9443", anywhere=False)

    assert [targets.url_fault(f"https://acme.test{port}/") for port in ("", ":443", ":8443", ":9443")] == [None] * 4
    assert targets.url_fault("https://acme.test:8444/") is PORT
    assert WebhookTargets.read("8443", anywhere=False).url_fault("https://acme.test/") is PORT


@pytest.mark.parametrize(
    "ports", ["", " ", ",", "0", "65536", "-1", "443;8443", "https", "443-445", "4_43", "४४३", "4430000"]
)
def test_a_list_that_is_none_stops_the_start(ports: str) -> None:
    """A mistake in a security setting must not become the default, nor allow all ports."""
    with pytest.raises(ValueError, match="ports must be numbers from 1 to 65535"):
        WebhookTargets.read(ports, anywhere=False)
    with pytest.raises(ValidationError):
        type(settings())(**settings().model_dump() | {"webhook_ports": ports})


def test_a_laptop_may_go_anywhere_by_a_sound_url() -> None:
    """http, loopback and any port; a password in the URL, or a zone, is refused there too."""
    laptop = WebhookTargets(anywhere=True)

    assert laptop.url_fault("http://127.0.0.1:8025/hook") is None
    assert laptop.url_fault("https://[::1]:8443/") is None
    assert laptop.url_fault("https://ann:pw@localhost/") is URL
    assert laptop.addresses_fault(["127.0.0.1"]) is None


def test_one_address_of_ours_spoils_a_name() -> None:
    """A name with a public address and a private one would lead inside at every second try."""
    assert USUAL.addresses_fault(["8.8.8.8", "2a00::1"]) is None
    assert USUAL.addresses_fault(["8.8.8.8", "10.0.0.1"]) is ADDRESS
    assert USUAL.addresses_fault(["2a00::1", "fe80::1%eth0"]) is ADDRESS
