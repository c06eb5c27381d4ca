"""What recipients got: filled subjects, digests taken at sending; messages by their labels, and what readers of a batch did."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True

#: A message is found by its reference (`=REFERENCE`) and by each of its metadata (`NAME=VALUE`). Written by a trigger, so that
#: what a process of an earlier release accepts meanwhile is found too; never changed, so that sending does not pay for it.
_LABELS = """
    select distinct fresh.tenant, substr(sha256(convert_to(said.label, 'UTF8')), 1, 16), fresh.created_at, fresh.id
    from {source} as fresh cross join lateral (
        select '=' || fresh.reference as label where fresh.reference <> ''
        union all
        select entry.key || '=' || entry.value
        from jsonb_each_text(case jsonb_typeof(fresh.metadata) when 'object' then fresh.metadata else '{{}}' end) as entry
        where entry.value is not null
    ) as said
    on conflict do nothing
"""
_INTO_LABELS = "insert into message_label (tenant, label, created_at, message_id)"
#: Which messages were opened, followed and left by, once each; who follows a link has opened the mail.
_ENGAGED = """
    insert into engagement (batch_id, kind, message_id)
    select distinct message.batch_id, noted.kind, message.id
    from {source} as fresh join message on message.id = fresh.message_id
        cross join lateral unnest(
            case fresh.kind when 'clicked' then array['clicked', 'opened'] else array[fresh.kind] end) as noted(kind)
    where fresh.kind in ('opened', 'clicked', 'unsubscribed') and fresh.actor is distinct from 'machine'
    order by 1, 2, 3
    on conflict do nothing
"""


def upgrade() -> None:
    op.add_column("message", sa.Column("subject", sa.Text(), nullable=True))
    op.add_column("message", sa.Column("sent_sha256", sa.Text(), nullable=True))
    op.create_table(
        "message_label",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("label", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "label", "created_at", "message_id"),
    )
    op.create_table(
        "engagement",
        sa.Column("batch_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "kind", "message_id"),
    )
    op.execute(f"{_INTO_LABELS} {_LABELS.format(source='message')}")
    op.execute(_ENGAGED.format(source="activity"))
    op.execute(f"""
        create function label_messages() returns trigger language plpgsql as $$
        begin
            if exists (select from fresh where reference <> '' or metadata is not null) then
                {_INTO_LABELS} {_LABELS.format(source="fresh")};
            end if;
            return null;
        end
        $$;
        create trigger message_labelled after insert on message
            referencing new table as fresh for each statement execute function label_messages();
    """)
    op.execute(f"""
        create function note_engagement() returns trigger language plpgsql as $$
        begin
            if exists (select from fresh where kind in ('opened', 'clicked', 'unsubscribed')) then
                {_ENGAGED.format(source="fresh")};
            end if;
            return null;
        end
        $$;
        create trigger activity_engaged after insert on activity
            referencing new table as fresh for each statement execute function note_engagement();
    """)


def downgrade() -> None:
    op.execute("drop trigger activity_engaged on activity; drop function note_engagement()")
    op.execute("drop trigger message_labelled on message; drop function label_messages()")
    for name in ("engagement", "message_label"):
        op.drop_table(name)
    for name in ("sent_sha256", "subject"):
        op.drop_column("message", name)
