"""The manifest of each archived e-mail, the salt of an item's digest in the journal, and rebuilds of a lost database.

An earlier release beside this one archives and files without them: its e-mails have no row here, its items no salt, and
neither is in the journal.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True


def upgrade() -> None:
    op.create_table(
        "archived_mail",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("email_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "email_id", "key", "version"),
    )
    op.execute(
        "create trigger archived_mail_kept before update or delete on archived_mail"
        " for each row execute function refuse_change()"
    )
    op.execute(
        "create trigger archived_mail_not_emptied before truncate on archived_mail execute function refuse_change()"
    )
    op.add_column("inbox_item", sa.Column("salt", sa.Text(), nullable=True))
    op.create_table(
        "rebuild",
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("facts", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("begun_at"),
    )


def downgrade() -> None:
    op.drop_column("inbox_item", "salt")
    op.drop_table("archived_mail")
    op.drop_table("rebuild")
