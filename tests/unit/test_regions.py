"""Where data may be: the region of a name, in every form that AWS issues and in many lookalikes."""

import pytest

from mailroom.domain.errors import ConfigurationError
from mailroom.domain.operations.regions import (
    EU_REGIONS,
    Allowed,
    bucket_region,
    database_hosts,
    host_of,
    refuse,
    region_of,
)
from mailroom.settings import Settings, allowed_regions
from tests.support.region_names import NAMES

EU = Allowed.read(" ".join(EU_REGIONS))


@pytest.mark.parametrize(("where", "region"), NAMES)
def test_a_name_has_its_region_or_none(where: str, region: str | None) -> None:
    """A lookalike of AWS's form must have no region: names without one are refused."""
    assert region_of(where) == region


@pytest.mark.parametrize(
    ("location", "region"),
    [
        (None, "us-east-1"),
        ("", "us-east-1"),
        ("EU", "eu-west-1"),
        ("eu-south-2", "eu-south-2"),
        ("eusc-de-east-1", "eusc-de-east-1"),
        ("eu-west-2", "eu-west-2"),
        ("eu", None),
        ("EU-WEST-1", None),
        ("eu-west-1\n", None),
    ],
)
def test_location_of_a_bucket(location: str | None, region: str | None) -> None:
    """GetBucketLocation says nothing for the first region and `EU` for the oldest buckets of Ireland."""
    assert bucket_region(location) == region


def test_default_is_the_explicit_set_of_the_union() -> None:
    """A prefix test would let London and Zurich through."""
    assert allowed_regions() == EU
    assert EU.regions == set(EU_REGIONS)
    assert Settings.model_fields["regions_allowed"].default.split() == list(EU_REGIONS)
    for region in ("eu-west-2", "eu-central-2", "us-east-1", "eu-isoe-west-1", "us-gov-west-1", "cn-north-1"):
        assert EU.judge("bucket", "b", region).fault


@pytest.mark.parametrize("words", ["", " , ", "eu-*", "eu", "EU", "eu-west-1a", "smtp.acme.example", "eu-west-1; x"])
def test_setting_that_is_empty_or_a_pattern_is_refused(words: str) -> None:
    """An empty list is neither everything nor nothing, and a star would be a prefix test."""
    with pytest.raises(ConfigurationError, match="MAILROOM_REGIONS_ALLOWED"):
        allowed_regions(words)


def test_environment_decides_for_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block has no settings: it reads the same variable."""
    monkeypatch.setenv("MAILROOM_REGIONS_ALLOWED", "eu-central-1, SMTP.acme.example")

    allowed = allowed_regions()

    assert (allowed.regions, allowed.hosts) == ({"eu-central-1"}, {"smtp.acme.example"})


@pytest.mark.parametrize(
    ("endpoint", "fault"),
    [
        ("https://sqs.eu-west-1.amazonaws.com", ""),
        ("http://127.0.0.1:5000", ""),
        ("http://[::1]:5000", ""),
        ("http://localhost:5000", ""),
        ("http://127.0.0.1.evil.example:5000", "has no known region"),
        ("http://localhost.evil.example", "has no known region"),
        ("http://127.0.0.1@evil.example", "has no known region"),
        ("http://10.0.0.7:5000", "has no known region"),
        ("https://s3.amazonaws.com", "is in us-east-1"),
        ("https://email.eu-west-2.amazonaws.com", "is in eu-west-2"),
        ("https://api.sendgrid.com", "is in the US"),
        ("https://api.eu.sendgrid.com", ""),
        ("https://api.eu.sendgrid.com.evil.example", "has no known region"),
        ("https://api.postmarkapp.com", "is in the US"),
        ("smtp.acme.example", "has no known region"),
        ("email-smtp.eu-central-1.amazonaws.com", ""),
        ("email-smtp.us-west-2.amazonaws.com", "is in us-west-2"),
        ("", "has no known region"),
    ],
)
def test_endpoint_is_in_an_allowed_region_or_on_this_machine(endpoint: str, fault: str) -> None:
    """An emulator is fine on loopback only, and a provider only where its region is known, or the operator vouches for it."""
    assert EU.judge_endpoint("provider", endpoint).fault == fault


def test_host_that_the_operator_vouches_for_is_allowed() -> None:
    """A mail server's name does not show its region: the operator must vouch for it."""
    allowed = Allowed.read("eu-west-1 smtp.acme.example")

    assert not allowed.judge_endpoint("provider", "SMTP.acme.example.").fault
    assert allowed.judge_endpoint("provider", "smtp2.acme.example").fault
    assert allowed.judge_endpoint("provider", "x.smtp.acme.example").fault
    # Somewhere in the EU is not Ireland.
    assert allowed.judge_endpoint("provider", "https://api.eu.sendgrid.com").fault


def test_own_servers_are_checked_only_where_their_name_has_a_region() -> None:
    """`db.internal` has no region and is the installation's own; a name of RDS has one."""
    hosts = ["db.internal", "127.0.0.1", "mail.abc.eu-west-3.rds.amazonaws.com", "mail.abc.us-east-2.rds.amazonaws.com"]

    seen = [EU.judge_if_said("database", host) for host in hosts]

    assert [one.region for one in seen] == ["unknown", "this machine", "eu-west-3", "us-east-2"]
    assert [one.fault for one in seen] == ["", "", "", "is in us-east-2"]


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://u:p@db.internal:5432/mailroom", ["db.internal:5432"]),
        ("postgresql://u:p%40@a.example,b.example:5433/m", ["a.example", "b.example:5433"]),
        ("postgresql:///m?host=x.abc.us-east-1.rds.amazonaws.com", ["x.abc.us-east-1.rds.amazonaws.com"]),
        ("postgresql://db.internal/m?hostaddr=192.0.2.1&host=/run/postgresql", ["db.internal", "192.0.2.1"]),
        ("postgresql:///m?host=/run/postgresql", []),
    ],
)
def test_every_host_of_a_database_url_counts(url: str, hosts: list[str]) -> None:
    """libpq takes several hosts, and the query's before the authority's."""
    assert database_hosts(url) == hosts


@pytest.mark.parametrize(
    "where",
    ["", "a b", "https://a\\@b.example", "https://x@y@z.example", "http://h:99999", "http://h:x", "ü.example", "a..b"],
)
def test_what_readers_of_urls_disagree_about_has_no_host(where: str) -> None:
    """One of them would send the data elsewhere than the check looked."""
    assert host_of(where) == ""


def test_refusal_is_one_line_with_setting_thing_region_and_remedy() -> None:
    """It is printed by a process that does not start: nothing else says what to do."""
    seen = [
        EU.judge("bucket", "acme-archive", "us-east-1"),
        EU.judge_named("queue", "https://sqs.eu-west-2.amazonaws.com/1/q"),
        EU.judge("bucket", "acme-mails", "eu-west-1"),
    ]

    with pytest.raises(ConfigurationError) as caught:
        refuse(seen, EU)

    said = str(caught.value)
    assert "\n" not in said
    assert "the bucket acme-archive is in us-east-1" in said
    assert "the queue https://sqs.eu-west-2.amazonaws.com/1/q is in eu-west-2" in said
    assert "acme-mails" not in said
    assert "MAILROOM_REGIONS_ALLOWED" in said
    assert "add the region" in said
