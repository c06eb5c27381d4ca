"""Documents of received mail: how much of a mail could not be read, and no document counts as decoration."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

oldest_code = 1
needed = True

# Up to now every part with the disposition inline was filed as decoration. What its type or the lack of HTML shows to be a
# document is counted and listed as one from here on; whether HTML draws a picture is decided when a mail is parsed.
DOCUMENTS = """
    update attachment set inline = false
    where inline and (
        coalesce(detected_type, content_type) not like 'image/%'
        or content_id is null
        or exists (select from inbox_item where inbox_item.id = attachment.item_id and inbox_item.html is null)
    )
"""


def upgrade() -> None:
    op.add_column("inbox_item", sa.Column("left_out", postgresql.JSONB(), nullable=True))
    op.execute(DOCUMENTS)


def downgrade() -> None:
    op.drop_column("inbox_item", "left_out")
