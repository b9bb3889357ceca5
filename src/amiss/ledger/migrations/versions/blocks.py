"""The block of each part, and an index over the times within a block, see `amiss.ledger.reader`."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """From the schema with shadows."""
    op.add_column("part", sa.Column("block", sa.Integer()))
    op.execute("UPDATE part SET block = seq / 1000")
    op.create_index("part_block", "part", ["station", "block", "at"])
