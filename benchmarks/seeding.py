"""Years of mail in seconds: rows written by SQL into Mailroom's and Prefect's tables.

Mailroom's rows are made up: three tenants, fifty addresses of very different use, every state. Prefect's are copies of
the few runs that there are, each with new ids and at a time of its own, so that they look as its version writes them.
"""

import hashlib
from typing import Any, cast

import psycopg

TENANT_KEY = "bench-tenant-key"

_MAIL = """
create temp table mail as
select n, gen_random_uuid() id, gen_random_uuid() item, now() - n * interval '5 minutes' received_at, floor(50 * random() ^ 2)::int who,
    random() fate, md5(n::text) || md5('x' || n) digest, 'in/seeded-' || n key
from generate_series(1, %(count)s) n;
create temp table address_book as
select who, case when who = 0 then a.tenant else 'bench-' || who %% 3 end tenant,
    case when who = 0 then a.pattern else 'user' || who || '@bench.test' end recipient
from generate_series(0, 49) who, address a where a.pattern = %(to)s;
insert into tenant select 'bench-' || n, now() from generate_series(0, 2) n;
insert into address select gen_random_uuid(), tenant, recipient, 'user', now() from address_book where who > 0;
insert into api_key values (%(digest)s, 'bench', 'bench-1', now());

insert into inbound_email (id, bucket, key, version, message_id, envelope, state, reason, facts, attempts, run_id, archive_ids, tenants,
    received_at, closed_at)
select id, 'inbound', key, '1', 'seeded-' || n,
    jsonb_build_object('recipients', array[recipient], 'sender', 'sender' || n %% 900 || '@office.test', 'received_at', received_at,
        'verdicts', '{"spam":"PASS","virus":"PASS","spf":"PASS","dkim":"PASS","dmarc":"PASS","dmarc_policy":"none"}'::jsonb),
    case when fate < .93 then 'filed' when fate < .97 then 'quarantined' when fate < .99 then 'failed' else 'duplicate' end,
    case when fate < .93 then null when fate < .95 then 'no_route' when fate < .97 then 'virus' when fate < .99 then 'PermanentError' end,
    '{}', 1, gen_random_uuid(), array[tenant || '/' || digest], array[tenant], received_at, received_at + interval '1 s'
from mail join address_book using (who);

insert into inbound_activity (email_id, at, kind, facts)
select id, received_at + step * interval '100 ms', (array['received', 'started', 'routed', 'archived', 'filed'])[step], '{"attempt": 1}'
from mail, generate_series(1, 5) step order by n, step;

insert into deposit
select tenant || '/' || substr(digest, 1, 62) || lpad(part::text, 2, '0'), tenant, digest, 15000, 'archive', tenant || '/' || digest, 'v1', 'GOVERNANCE',
    received_at + interval '10 years', received_at
from mail join address_book using (who), generate_series(0, n %% 3) part where fate < .93;

with letter as (
    select mail.*, (select string_agg('word' || floor(3000 * random() ^ 3)::int, ' ') from generate_series(1, 40 + mail.n %% 40)) words
    from mail where fate < .93)
insert into inbox_item (id, email_id, tenant, recipient, user_name, message_id, subject, "from", "to", cc, date, text, defects,
    raw_archive_id, received_at, filed_at, words)
select item, id, tenant, recipient, 'user', '<' || n || '@office.test>', 'Scan ' || n || ' of the month', 'Office ' || n %% 900 || ' <sender@office.test>',
    array[recipient], '{}', received_at, words, '{}', tenant || '/' || substr(digest, 1, 62) || '00', received_at, received_at + interval '1 s',
    to_tsvector('simple', 'scan ' || n || ' of the month office ' || n %% 900 || ' sender office test scan pdf ' || words)
from letter join address_book using (who);

insert into attachment
select item, part, 'scan-' || part || '.pdf', 'application/pdf', 'application/pdf', 15000, digest, false, null,
    tenant || '/' || substr(digest, 1, 62) || lpad(part::text, 2, '0')
from mail join address_book using (who), generate_series(1, n %% 3) part where fate < .93
"""

#: The tables with rows of a run, and the condition that selects them for the runs in `source (run)`.
_OF_A_RUN = {
    "flow_run": "t.id = s.run",
    "flow_run_state": "t.flow_run_id = s.run",
    "task_run": "t.flow_run_id = s.run",
    "task_run_state": "t.task_run_id in (select id from task_run where flow_run_id = s.run)",
    "log": "t.flow_run_id = s.run",
    "artifact": "t.flow_run_id = s.run",
    "events": "exists (select from event_of_run e where e.event = t.id and e.run = s.run)",
    "event_resources": "exists (select from event_of_run e where e.event = t.event_id and e.run = s.run)",
}
_OWN_IDS = frozenset({"id", "flow_run_id", "task_run_id", "state_id", "event_id", "follows"})


def seed_mail(database_url: str, *, count: int, to: str) -> None:
    """Write `count` e-mails received over the past; `to` is the busiest address."""
    values = {"count": count, "to": to, "digest": hashlib.sha256(TENANT_KEY.encode()).hexdigest()}
    with psycopg.connect(database_url) as connection:
        # The client inserts the values: several statements at once accept no server-side parameters.
        psycopg.ClientCursor(connection).execute(_MAIL, values)
    _analyze(database_url)


def seed_runs(database_url: str, *, count: int) -> None:
    """Copy the finished runs of Prefect's database until there are `count` more, with all of their rows."""
    with psycopg.connect(database_url) as connection:
        # Without foreign keys during the copy: a run and its state refer to each other.
        connection.execute("set local session_replication_role = replica")
        found = _execute(
            connection,
            "create temp table source as select id run from flow_run where state_type = 'COMPLETED' order by created limit 5",
        )
        copies = -(-count // found)
        _execute(
            connection,
            "create temp table event_of_run as select e.id event, s.run from events e, source s "
            "where e.resource_id = 'prefect.flow-run.' || s.run or e.related_resource_ids::text like '%' || s.run || '%'",
        )
        # The source rows are copied first, or each table would be read while it grows.
        statements = [_copy(connection, name, condition, copies) for name, condition in _OF_A_RUN.items()]
        for statement in statements:
            _execute(connection, statement)
    _analyze(database_url)


def _copy(connection: psycopg.Connection[Any], table: str, condition: str, copies: int) -> str:
    _execute(
        connection,
        f"create temp table few_{table} as select t.*, s.run of_run from {table} t, source s where {condition}",  # noqa: S608 - our own names
    )
    columns = connection.execute(
        "select attname, format_type(atttypid, null) from pg_attribute "
        "where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped and attgenerated = '' and attidentity = ''",
        [table],
    ).fetchall()
    names = ", ".join(f'"{name}"' for name, _ in columns)
    values = ", ".join(_value(name, kind) for name, kind in columns)
    return f"insert into {table} ({names}) select {values} from few_{table} t, generate_series(1, {copies}) n"  # noqa: S608


def _value(column: str, kind: str) -> str:
    """Return the expression for a column of a copy: new ids and keys, an earlier time, the new run id in every text."""
    value = f't."{column}"'
    if kind == "uuid":
        return f"md5({value}::text || '/' || n)::uuid" if column in _OWN_IDS else value
    if kind.startswith("timestamp"):
        return f"{value} - n * interval '20 minutes'"
    if column == "idempotency_key":
        return f"{value} || '/' || n"
    if column == "resource_id":
        own = f"left({value}, -36) || md5(right({value}, 36) || '/' || n)::uuid"
        return f"case when {value} ~ '^prefect[.](flow|task)-run[.]' then {own} else {value} end"
    if kind in ("json", "jsonb"):
        return f"replace({value}::text, of_run::text, md5(of_run::text || '/' || n)::uuid::text)::{kind}"
    return value


def _execute(connection: psycopg.Connection[Any], statement: str) -> int:
    return connection.execute(cast(Any, statement)).rowcount


def _analyze(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("vacuum analyze")
