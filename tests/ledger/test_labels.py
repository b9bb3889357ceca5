"""Which parts wait for a person."""

from pathlib import Path

from amiss.ledger.labels import count_waiting, waiting
from amiss.ledger.store import Store
from amiss.ledger.writer import Writer
from tests.ledger.drafts import bare, part_id


def test_a_part_that_was_drawn_waits_only_where_its_verdict_is_hidden(tmp_path: Path, reader):
    """Or somebody labels it under review, having seen the verdict, and it counts as labelled blind."""
    store = Store.make(tmp_path / "store")
    with Writer(store) as writer:
        for number, (label, audit) in enumerate([("review", True), ("review", False), ("good", True), ("error", True)]):
            writer.submit(bare(number, label=label, audit=audit)).result()
    with reader(store) as found:
        assert waiting(found, "review") == [part_id(1)]
        assert waiting(found, "audit") == [part_id(0), part_id(2)]
        assert (count_waiting(found, "review"), count_waiting(found, "audit")) == (1, 2)
