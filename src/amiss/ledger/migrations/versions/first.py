"""The first schema: the chain of events and its projections."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From an empty database."""
    _events()
    _parts()
    _models_and_labels()
    _files()


def _events() -> None:
    op.create_table(
        "event",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("prev", sa.String(64), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("event_kind", "event", ["station", "kind", "seq"])


def _parts() -> None:
    op.create_table(
        "part",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("version", sa.Integer()),
        sa.Column("fingerprint", sa.String(64)),
        sa.Column("serial", sa.String()),
        sa.Column("lot", sa.String()),
        sa.Column("camera", sa.String()),
        sa.Column("taken_at", sa.String()),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("audit", sa.Boolean(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("score", sa.Float(53)),
        sa.Column("threshold", sa.Float(53)),
        sa.Column("p_value", sa.Float(53)),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("regions", sa.Text(), nullable=False),
        sa.Column("health", sa.Text()),
        sa.Column("ms", sa.Text(), nullable=False),
        sa.Column("runtime", sa.Text(), nullable=False),
    )
    op.create_index("part_at", "part", ["station", "at", "seq"])
    op.create_index("part_key", "part", ["station", "key"], unique=True)
    op.create_index("part_label", "part", ["station", "label", "seq"])
    op.create_index("part_lot", "part", ["station", "lot", "seq"])
    op.create_index("part_recipe", "part", ["station", "recipe", "seq"])
    op.create_index("part_score", "part", ["station", "score", "seq"])
    op.create_index("part_seq", "part", ["station", "seq"], unique=True)
    op.create_index("part_serial", "part", ["station", "serial", "seq"])


def _models_and_labels() -> None:
    op.create_table(
        "version",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("recipe", sa.String(), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
    )
    op.create_table(
        "deployment",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
    )
    op.create_index("deployment_recipe", "deployment", ["station", "recipe", "seq"])
    op.create_table(
        "label",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.Column("part", sa.String(36), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("truth", sa.String(), nullable=False),
        sa.Column("type", sa.String()),
        sa.Column("boxes", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("blind", sa.Boolean(), nullable=False),
        sa.Column("pool", sa.String()),
    )
    op.create_index("label_part", "label", ["part"])


def _files() -> None:
    op.create_table(
        "image",
        sa.Column("part", sa.String(36), primary_key=True),
        sa.Column("station", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("class", sa.String(), nullable=False),
        sa.Column("keep_until", sa.String()),
        sa.Column("state", sa.String(), nullable=False),
    )
    op.create_index("image_class", "image", ["station", "state", "class", "seq"])
    op.create_index("image_keep", "image", ["station", "state", "keep_until"])
    op.create_index("image_sha256", "image", ["sha256"])
    op.create_table(
        "outbox",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("sink", sa.String(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("part", sa.String(36), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.String()),
        sa.Column("done_at", sa.String()),
        sa.Column("error", sa.Text()),
    )
    op.create_index("outbox_waiting", "outbox", ["station", "sink", "done_at", "seq"])
    op.create_table(
        "watched",
        sa.Column("station", sa.String(), primary_key=True),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("mtime_ns", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.String(36), nullable=False),
    )
    op.create_index("watched_path", "watched", ["station", "path"])
