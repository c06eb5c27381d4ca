"""The archive's journals, deposits that are only inserted, and the place of each copy of a deposit.

An earlier release beside this one writes the place of a deposit, its lock and its time of verification into `deposit`, and no
SHA-512. Triggers take them to `deposit_copy` and append what this release would. Every other change of a deposit or a journal
entry is refused.
"""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True

_TIME = sa.DateTime(timezone=True)

# Hash of an entry: SHA-256(0x00 | prev | seq | at | payload), seq and at (microseconds since 1970) as 8 bytes, big-endian.
# The first entry's prev is SHA-256('mailroom journal <tenant> <stream>').
_APPEND = """
create function journal_append(of_tenant text, of_stream text, entry text) returns bigint
language plpgsql security definer as $$
declare
    head journal_head%rowtype;
    moment timestamptz := clock_timestamp();
    link bytea;
begin
    select * into head from journal_head where tenant = of_tenant and stream = of_stream for update;
    if not found then
        insert into journal_head (tenant, stream, seq, at, hash, is_clock_back)
        values (of_tenant, of_stream, 0, 'epoch',
            sha256(convert_to('mailroom journal ' || of_tenant || ' ' || of_stream, 'UTF8')), false)
        on conflict do nothing;
        select * into head from journal_head where tenant = of_tenant and stream = of_stream for update;
    end if;
    -- The clock may have been set back: times of a journal never go back, and each such period is an entry of its own.
    if moment >= head.at then
        head.is_clock_back := false;
    else
        if not head.is_clock_back and head.at - moment > interval '1 second' then
            update journal_head set is_clock_back = true where tenant = of_tenant and stream = of_stream;
            perform journal_append(of_tenant, of_stream, '{"kind":"clock_back","seconds":'
                || ceil(extract(epoch from head.at - moment))::bigint || '}');
            select * into head from journal_head where tenant = of_tenant and stream = of_stream;
        end if;
        moment := head.at;
    end if;
    link := sha256('\\x00'::bytea || head.hash || int8send(head.seq + 1)
        || int8send((extract(epoch from moment) * 1000000)::bigint) || convert_to(entry, 'UTF8'));
    insert into journal (tenant, stream, seq, at, payload, prev, hash)
    values (of_tenant, of_stream, head.seq + 1, moment, entry, head.hash, link);
    update journal_head set seq = head.seq + 1, at = moment, hash = link, is_clock_back = head.is_clock_back
    where tenant = of_tenant and stream = of_stream;
    return head.seq + 1;
end $$
"""

# What an earlier release does, as `mailroom.domain.archive.journal` writes it: names sorted, no white space.
_NOTE = """
create function note_for_earlier(one deposit, kind text) returns void language plpgsql security definer as $$
declare
    lock text := '"until":' || to_json(to_char(one.retain_until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS+00:00'))
        || ',"version":' || to_json(one.version) || '}';
    mode text := '"kind":"' || kind || '","mode":' || to_json(one.lock_mode) || ',"place":"first",';
    subject text := '"subject":' || to_json(one.archive_id) || ',';
begin
    perform journal_append(one.tenant, 'life', case when kind = 'deposit'
        then '{' || mode || '"sha256":"' || one.sha256 || '","size":' || one.size || ',' || subject || lock
        else '{' || mode || subject || lock end);
end $$
"""

# What an earlier release changes in a deposit is the place and lock of its first copy.
_TAKE = """
create function take_to_copy() returns trigger language plpgsql security definer as $$
declare
    was deposit_copy%rowtype;
begin
    if (new.archive_id, new.tenant, new.sha256, new.size, new.key, new.deposited_at)
        is distinct from (old.archive_id, old.tenant, old.sha256, old.size, old.key, old.deposited_at) then
        raise exception 'a change of deposit is refused: its rows are only inserted' using errcode = '23001';
    end if;
    select * into was from deposit_copy where archive_id = new.archive_id and place = 'first' for update;
    insert into deposit_copy (archive_id, place, bucket, key, version, lock_mode, retain_until, verified_at)
    values (new.archive_id, 'first', new.bucket, new.key, new.version, new.lock_mode, new.retain_until, new.verified_at)
    on conflict (archive_id, place) do update set bucket = excluded.bucket, version = excluded.version,
        lock_mode = case when (deposit_copy.bucket, deposit_copy.version) = (excluded.bucket, excluded.version)
            and deposit_copy.lock_mode = 'COMPLIANCE' then deposit_copy.lock_mode else excluded.lock_mode end,
        retain_until = greatest(deposit_copy.retain_until, excluded.retain_until),
        verified_at = greatest(deposit_copy.verified_at, excluded.verified_at);
    if was.archive_id is null or (was.bucket, was.version) <> (new.bucket, new.version) then
        perform note_for_earlier(new, 'copy');
    elsif was.retain_until < new.retain_until or (new.lock_mode = 'COMPLIANCE' and was.lock_mode <> 'COMPLIANCE') then
        perform note_for_earlier(new, 'extend');
    end if;
    return null;
end $$
"""

# A deposit's first copy is where its receipt says, also when an earlier release inserts it.
_FIRST = """
create function first_copy() returns trigger language plpgsql security definer as $$
begin
    insert into deposit_copy (archive_id, place, bucket, key, version, lock_mode, retain_until, verified_at)
    values (new.archive_id, 'first', new.bucket, new.key, new.version, new.lock_mode, new.retain_until, new.verified_at)
    on conflict do nothing;
    if new.sha512 is null then
        perform note_for_earlier(new, 'deposit');
    end if;
    return null;
end $$
"""

_GROW = """
create function refuse_shorter() returns trigger language plpgsql as $$
begin
    if new.retain_until < old.retain_until or new.archive_id <> old.archive_id or new.place <> old.place then
        raise exception 'a change of deposit_copy is refused: its retention only grows' using errcode = '23001';
    end if;
    return new;
end $$
"""

_OWN_TABLES = """
do $$ begin execute format('alter function {} set search_path = %I, pg_temp', current_schema()); end $$
"""

_COPY_ALL = """
insert into deposit_copy (archive_id, place, bucket, key, version, lock_mode, retain_until, verified_at)
select archive_id, 'first', bucket, key, version, lock_mode, retain_until, verified_at from deposit on conflict do nothing
"""


def upgrade() -> None:
    op.create_table(
        "journal",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), sa.CheckConstraint("stream in ('life', 'operations')"), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("prev", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), sa.Computed("(payload::jsonb) ->> 'kind'", persisted=True), nullable=False),
        sa.Column("subject", sa.Text(), sa.Computed("(payload::jsonb) ->> 'subject'", persisted=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "stream", "seq"),
    )
    op.create_index("ix_journal_subject", "journal", ["subject", "seq"])
    op.create_table(
        "journal_head",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("is_clock_back", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "stream"),
    )
    op.create_table(
        "deposit_copy",
        sa.Column("archive_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("lock_mode", sa.Text(), nullable=False),
        sa.Column("retain_until", _TIME, nullable=False),
        sa.Column("verified_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("archive_id", "place"),
    )
    op.create_index("ix_deposit_copy_key", "deposit_copy", ["bucket", sa.text('key collate "C"')])
    op.create_index("ix_deposit_copy_verified", "deposit_copy", ["place", sa.text("verified_at nulls first")])
    # Null in rows of earlier releases.
    op.add_column("deposit", sa.Column("sha512", sa.Text(), nullable=True))
    op.execute(_COPY_ALL)
    for function in (_APPEND, _NOTE, _TAKE, _FIRST, _GROW):
        op.execute(function)
    for name in (
        "journal_append(text, text, text)",
        "note_for_earlier(deposit, text)",
        "take_to_copy()",
        "first_copy()",
    ):
        # A caller's temporary tables, which come first otherwise, must not take the place of these.
        op.execute(_OWN_TABLES.format(name))
        op.execute(f"revoke execute on function {name} from public")
    for table in ("journal", "deposit"):
        events = "update or delete" if table == "journal" else "delete"
        op.execute(
            f"create trigger {table}_kept before {events} on {table} for each row execute function refuse_change()"
        )
        op.execute(f"create trigger {table}_not_emptied before truncate on {table} execute function refuse_change()")
    op.execute("create trigger deposit_taken before update on deposit for each row execute function take_to_copy()")
    op.execute("create trigger deposit_placed after insert on deposit for each row execute function first_copy()")
    op.execute(
        "create trigger deposit_copy_grows before update on deposit_copy for each row execute function refuse_shorter()"
    )


def downgrade() -> None:
    for trigger in ("deposit_kept", "deposit_not_emptied", "deposit_taken", "deposit_placed"):
        op.execute(f"drop trigger {trigger} on deposit")
    for table in ("deposit_copy", "journal_head", "journal"):
        op.drop_table(table)
    op.execute("drop function note_for_earlier(deposit, text)")
    op.drop_column("deposit", "sha512")
    op.execute("drop function journal_append(text, text, text)")
    for function in ("take_to_copy", "first_copy", "refuse_shorter"):
        op.execute(f"drop function {function}()")
