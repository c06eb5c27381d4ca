"""What a tenant may be called: one rule for the HTTP API, the commands, the settings and the providers' hooks.

It is for who names a tenant for something new. What reads or removes takes any name, for earlier releases stored some that
the rule does not allow: suppressions of any name, and the mail of schedules and plain producers.
"""

import re

#: The archive's tenant for mail that no address here takes: the installation itself. No tenant is called so.
NOBODY = "unrouted"
#: What is said to a caller whose name for a tenant is none.
WHAT_A_NAME_IS = f"a tenant name must have 1 to 63 lower-case letters, digits and dashes, not start with a dash, and not be {NOBODY!r}"

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def tenant_name(written: str) -> str:
    """Return `written`, if a tenant may be called so; it is taken as it is, with nothing trimmed or lowered.

    Raises:
        ValueError: it may not; the message is `WHAT_A_NAME_IS`.
    """
    if not _NAME.fullmatch(written) or written == NOBODY:
        raise ValueError(WHAT_A_NAME_IS)
    return written
