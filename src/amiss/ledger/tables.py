"""The tables: `event` is the truth, all others are projections that can be made again from it.

`migrations/` makes them; this page is what queries are written with, and a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

BLOCK = 1000
"""Numbers of one block of parts."""

event = Table(
    "event",
    metadata,
    Column("station", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("prev", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("event_kind", "station", "kind", "seq"),
)

part = Table(
    "part",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("station", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", String, nullable=False),
    Column("recipe", String, nullable=False),
    Column("version", Integer),
    Column("fingerprint", String(64)),
    Column("serial", String),
    Column("lot", String),
    Column("camera", String),
    Column("taken_at", String),
    Column("name", String, nullable=False),
    Column("key", String, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("audit", Boolean, nullable=False),
    Column("label", String, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("score", Float(53)),  # every float32 fits exactly
    Column("threshold", Float(53)),
    Column("p_value", Float(53)),
    Column("reason", Text, nullable=False),
    Column("regions", Text, nullable=False),  # JSON, as are the next three
    Column("health", Text),
    Column("ms", Text, nullable=False),
    Column("runtime", Text, nullable=False),
    Column("height", Integer),
    Column("width", Integer),
    Column("block", Integer),  # seq // BLOCK: times are looked for block by block
    Index("part_seq", "station", "seq", unique=True),
    Index("part_key", "station", "key", unique=True),
    Index("part_label", "station", "label", "seq"),
    Index("part_lot", "station", "lot", "seq"),
    Index("part_recipe", "station", "recipe", "seq"),
    Index("part_serial", "station", "serial", "seq"),
    Index("part_at", "station", "at", "seq"),
    Index("part_score", "station", "score", "seq"),
    Index("part_block", "station", "block", "at"),
)

version = Table(
    "version",
    metadata,
    Column("station", String, primary_key=True),
    Column("recipe", String, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("at", String, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("about", Text, nullable=False),  # JSON: method, size, rule, alpha, n, threshold, statement
)

deployment = Table(
    "deployment",
    metadata,
    Column("station", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("recipe", String, nullable=False),
    Column("version", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", String, nullable=False),
    Index("deployment_recipe", "station", "recipe", "seq"),
)

label = Table(
    "label",
    metadata,
    Column("station", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("part", String(36), nullable=False),
    Column("by", String, nullable=False),
    Column("truth", String, nullable=False),
    Column("type", String),
    Column("boxes", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("blind", Boolean, nullable=False),
    Column("pool", String),
    Index("label_part", "part"),
)

image = Table(
    "image",
    metadata,
    Column("part", String(36), primary_key=True),
    Column("station", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("class", String, nullable=False),
    Column("keep_until", String),
    Column("state", String, nullable=False),  # kept, or gone
    Index("image_sha256", "sha256"),
    Index("image_class", "station", "state", "class", "seq"),
    Index("image_keep", "station", "state", "keep_until"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("station", String, primary_key=True),
    Column("sink", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("part", String(36), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("next_at", String),
    Column("done_at", String),
    Column("error", Text),
    Index("outbox_waiting", "station", "sink", "done_at", "seq"),
)

watched = Table(
    "watched",
    metadata,
    Column("station", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("path", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("mtime_ns", BigInteger, nullable=False),
    Column("part", String(36), nullable=False),
    Index("watched_path", "station", "path"),
)

chart = Table(
    "chart",
    metadata,
    Column("station", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("recipe", String, nullable=False),
    Column("alarm", Boolean, nullable=False),
    Column("first", Integer),  # numbers of events: of the first and last part that changed
    Column("last", Integer),  # None: it goes on
    Column("kind", String, nullable=False),
    Column("text", Text, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("station", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),  # of the lot within the event, from 0
    Column("at", String, nullable=False),
    Column("recipe", String, nullable=False),
    Column("first", Integer, nullable=False),  # numbers of events: of the first and last part that are set aside
    Column("last", Integer),  # None: it goes on
    Column("lot", String),  # None: parts of any lot
    Column("reason", Text, nullable=False),
    Column("actor", String, nullable=False),
)

shadow = Table(
    "shadow",
    metadata,
    Column("station", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("recipe", String, nullable=False),
    Column("version", Integer),  # None: no version judges in the shadow any more
    Column("reason", Text, nullable=False),
    Column("actor", String, nullable=False),
)

compared = Table(
    "compared",
    metadata,
    Column("station", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("part", String(36), nullable=False),
    Column("recipe", String, nullable=False),
    Column("acting", Integer, nullable=False),  # version that judged
    Column("version", Integer, nullable=False),  # version in its shadow
    Column("was", String, nullable=False),  # label by the one that judged
    Column("label", String, nullable=False),  # label by the one in the shadow
    Column("differs", Boolean, nullable=False),  # one of them accepts, the other does not
    Column("score", Float(53)),
    Column("threshold", Float(53)),
    Column("p_value", Float(53)),
    Index("compared_recipe", "station", "recipe", "version", "acting", "differs", "seq"),
    Index("compared_part", "part"),
)

PROJECTIONS = (part, version, deployment, label, image, outbox, watched, chart, quarantine, shadow, compared)
"""All that is made from events."""

OPERATIONAL = {"outbox": {"tries", "next_at", "done_at", "error"}}
"""Columns that say how far work has come; no event tells, and `verify` does not compare them."""
