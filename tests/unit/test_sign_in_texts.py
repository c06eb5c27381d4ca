"""The mail with a sign-in link, in each language."""

from datetime import UTC, datetime

import pytest

from mailroom.domain.languages import LANGUAGES
from mailroom.domain.people import Role
from mailroom.outbound.sign_in_mail import STAND_IN
from mailroom.outbound.sign_in_texts import subject_and_text
from mailroom.ports.people import Person

URL = f"https://mail.example/sign-in/{STAND_IN}"
STARTS = {
    None: "Your link",
    "en": "Your link",
    "fr": "Votre lien",
    "de": "Ihr Link",
    "tlh": "Your link",
    "../de": "Your link",
}


@pytest.mark.parametrize("language", [*STARTS])
@pytest.mark.parametrize("role", [*Role])
def test_the_mail_is_in_the_language_of_its_recipient(language: str | None, role: Role) -> None:
    """As the person chose it; the link stands alone in its paragraph, and the address and tenant are as they are."""
    tenant = "acme" if role.is_of_a_tenant else None
    ada = Person("1", "ada@acme.test", role, tenant, (), datetime.now(UTC), "cli", language=language)

    subject, text = subject_and_text(ada, url=URL, minutes=15)

    assert {*LANGUAGES} < {*STARTS}
    assert subject.startswith(STARTS[language])
    assert f"\n\n{URL}\n\n" in text
    assert "ada@acme.test,\n" in text
    assert ("(acme)" in subject) == (tenant == "acme")
    assert "{" not in subject + text
