"""A table of what the control charts said, filled from the events that are there; and the size of each image."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """From the first schema."""
    chart = op.create_table(
        "chart",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("alarm", sa.Boolean(), nullable=False),
        sa.Column("first", sa.Integer()),
        sa.Column("last", sa.Integer()),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
    )
    found = op.get_bind().execute(sa.text("SELECT station, seq, at, body FROM event WHERE kind = 'chart'"))
    rows = []
    for station, seq, at, body in found:
        data = json.loads(body)["data"]
        told = {name: data[name] for name in ("recipe", "alarm", "first", "last", "kind", "text")}
        rows.append({"station": station, "seq": seq, "at": at, **told})
    if rows:
        op.bulk_insert(chart, rows)
    op.add_column("part", sa.Column("height", sa.Integer()))
    op.add_column("part", sa.Column("width", sa.Integer()))
