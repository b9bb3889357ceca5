"""Tables of the versions that judge in the shadow, and of what they said beside the one that judges."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """From the schema with quarantines; no event of these kinds can be there yet."""
    op.create_table(
        "shadow",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("version", sa.Integer()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
    )
    op.create_table(
        "compared",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("part", sa.String(36), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("acting", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("was", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("differs", sa.Boolean(), nullable=False),
        sa.Column("score", sa.Float(53)),
        sa.Column("threshold", sa.Float(53)),
        sa.Column("p_value", sa.Float(53)),
    )
    op.create_index("compared_recipe", "compared", ["station", "recipe", "version", "acting", "differs", "seq"])
    op.create_index("compared_part", "compared", ["part"])
