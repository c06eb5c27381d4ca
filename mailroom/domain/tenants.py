"""The rule for tenants' names, for the HTTP API, the commands, the settings and the providers' hooks.

It applies where something new is stored for a tenant. Reading and removing accept any name, for earlier releases stored
names that the rule does not allow: in suppressions, and for the mail of schedules and plain producers.
"""

import re

#: The archive's tenant for mail without a matching address: the installation itself. No tenant may have this name.
NOBODY = "unrouted"
#: The tenant of mail that Mailroom sends for itself. It is no valid name, so no key and no person is of this tenant.
OWN_TENANT = "_mailroom"
#: The message for a caller whose tenant name is not valid.
WHAT_A_NAME_IS = f"a tenant name must have 1 to 63 lower-case letters, digits and dashes, not start with a dash, and not be {NOBODY!r}"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def tenant_name(written: str) -> str:
    """Return `written` if it is a valid tenant name; nothing is trimmed or lowered.

    Raises:
        ValueError: it is not valid; the message is `WHAT_A_NAME_IS`.
    """
    if not _NAME.fullmatch(written) or written == NOBODY:
        raise ValueError(WHAT_A_NAME_IS)
    return written
