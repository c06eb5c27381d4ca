"""Rows of copies that are gone: a receipt, or an entry of the journal, knows a copy that the database has no row of.

Receipt, copy and entry are written in one transaction, so such a row was removed, however young it is. Nothing else of a check
would say so while the object is young: without its row it looks like a deposit that is under way.
"""

from typing import Any

import psycopg

from mailroom.audit.report import Report

#: The limit of violations; further ones are found when these are repaired.
_MOST = 100


def check_copies(connection: psycopg.Connection[Any], report: Report) -> None:
    """Report receipts and copies whose rows were removed."""
    for archive_id, place in connection.execute(_REMOVED, {"most": _MOST}).fetchall():
        what = f"the row of its {place} copy was removed from the database; `mailroom archive verify {archive_id}` says what it was"
        report.violate("removed copy", archive_id, what)


# The payload is compared as text: an administrator may have written one that is no JSON.
_REMOVED = """
select archive_id, place from (
    select archive_id, 'first' as place from deposit
    union select subject, case when payload like '%%"place":"second"%%' then 'second' else 'first' end from journal
           where stream = 'life' and kind in ('deposit', 'copy', 'extend', 'repair') and subject is not null
) known
 where not exists (select from deposit_copy c where c.archive_id = known.archive_id and c.place = known.place)
 order by 1, 2 limit %(most)s
"""
