"""Subject and text of the mail with a sign-in link, in each language of `mailroom.domain.languages`."""

from collections.abc import Mapping
from dataclasses import dataclass

from mailroom.domain.languages import LANGUAGES
from mailroom.domain.people import Role
from mailroom.ports.people import Person


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of one language. `of_tenant` and `of_all` say what the person is there."""

    subject: str
    text: str
    of_tenant: str
    of_all: str
    installation: str
    roles: Mapping[Role, str]


_ENGLISH = _Words(
    subject="Your link to sign in to Mailroom ({place})",
    text="""\
Somebody, probably you, asked to sign in to Mailroom as {address},
{role}.

Open this link and press the button:

{url}

The link works once, for {minutes} minutes. If you did not ask for it, do nothing: without
this link nobody signs in. Mailroom will never ask you to forward it.
""",
    of_tenant="{role} of {tenant}",
    of_all="{role} of the installation",
    installation="the installation",
    roles={role: role.value for role in Role},
)
_FRENCH = _Words(
    subject="Votre lien de connexion à Mailroom ({place})",
    text="""\
Quelqu'un, sans doute vous, a demandé à se connecter à Mailroom en tant que {address},
{role}.

Ouvrez ce lien et appuyez sur le bouton :

{url}

Le lien fonctionne une fois, pendant {minutes} minutes. Si vous ne l'avez pas demandé, ne faites
rien : sans ce lien, personne ne se connecte. Mailroom ne vous demandera jamais de le transférer.
""",
    of_tenant="{role} de {tenant}",
    of_all="{role} de l'installation",
    installation="l'installation",
    roles={
        Role.MEMBER: "membre",
        Role.ARCHIVIST: "archiviste",
        Role.ADMINISTRATOR: "administrateur",
        Role.OPERATOR: "opérateur",
    },
)
_GERMAN = _Words(
    subject="Ihr Link zur Anmeldung bei Mailroom ({place})",
    text="""\
Jemand, vermutlich Sie, möchte sich bei Mailroom anmelden als {address},
{role}.

Öffnen Sie diesen Link und drücken Sie den Knopf:

{url}

Der Link gilt einmal, {minutes} Minuten lang. Haben Sie ihn nicht angefordert, tun Sie nichts:
ohne diesen Link meldet sich niemand an. Mailroom bittet Sie nie, ihn weiterzuleiten.
""",
    of_tenant="{role} von {tenant}",
    of_all="{role} der Installation",
    installation="die Installation",
    roles={
        Role.MEMBER: "Mitglied",
        Role.ARCHIVIST: "Archivar",
        Role.ADMINISTRATOR: "Administrator",
        Role.OPERATOR: "Betreiber",
    },
)
_WORDS: Mapping[str, _Words] = dict(zip(LANGUAGES, (_ENGLISH, _FRENCH, _GERMAN), strict=True))


def subject_and_text(person: Person, *, url: str, minutes: int) -> tuple[str, str]:
    """Return the mail for this person, in the language that the person chose; in English without a choice."""
    words = _WORDS.get(person.language or "", _ENGLISH)
    role = words.roles[person.role]
    as_what = (words.of_tenant if person.tenant else words.of_all).format(role=role, tenant=person.tenant)
    text = words.text.format(address=person.address, role=as_what, url=url, minutes=minutes)
    return words.subject.format(place=person.tenant or words.installation), text
