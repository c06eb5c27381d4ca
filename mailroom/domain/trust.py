"""What SES's verdicts mean for a mail. Only PASS is a pass; GRAY, missing and unknown words never are."""

from mailroom.domain.errors import Reason
from mailroom.domain.inbound import Verdict, Verdicts


def stop_reason(verdicts: Verdicts) -> Reason | None:
    """Return why a mail with these verdicts is not filed, or None when it is.

    A virus is always stopped. Spam and DMARC failures are filed and shown with their verdict; a tenant's own policy
    for them has its place here.
    """
    if verdicts.virus is Verdict.FAIL:
        return Reason.VIRUS
    return None
