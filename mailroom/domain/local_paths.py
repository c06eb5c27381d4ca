"""The paths to which a person may be sent after signing in: of these pages, never of another site."""

import re

#: The page to open where none was asked for.
HOME = "/"
#: What a browser reads as a path of the same site: it takes `//host` and `/\\host` for another, and drops tabs and newlines.
_LOCAL = re.compile(r"/(?:(?![/\\])[!-\[\]-~]*)?")
#: Not pages that a person looks at: signing in begins here, the API has keys, and the rest is of mails and providers.
_NOT_PAGES = re.compile(
    r"/+(?:sign-in|sign-out|v1|u|c|o|hooks|static|healthz|readyz|metrics|openapi\.json)(?:[/?#.-]|$)"
)
_MOST = 2_000


def local_path(written: str | None) -> str:
    """Return `written` if it is the path of a page, with its query, else `HOME`."""
    if not written or len(written) > _MOST or not _LOCAL.fullmatch(written) or _NOT_PAGES.match(written):
        return HOME
    return written
