"""`Products`: which calibration score is of which product, whatever the order of the scores, parts and lots."""

import numpy as np
import pytest

from amiss.core.errors import InputError
from amiss.core.lots import Lots
from amiss.core.origin import Origin
from amiss.core.products import UNSTATED, Products, find_products, only_product
from amiss.core.scores import Scores
from amiss.rules import Conformal


@pytest.mark.parametrize("with_lots", [False, True])
def test_scores_find_their_product_again_in_the_rule(with_lots: bool) -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 30, 200).astype(np.float32)  # with ties
    origins = [Origin(product="bolt" if score % 3 else "nut", lot=f"L{score % 5:.0f}") for score in scores]
    lots = Lots(np.array([int(score % 5) for score in scores]), "these-lots") if with_lots else None
    everyone = np.arange(200)
    products = find_products(scores, everyone, everyone, origins, lots)
    rule = Conformal(0.1).calibrate(Scores(scores), lots)
    assert products.names == ("bolt", "nut")
    for name, remainder in (("nut", {0}), ("bolt", {1, 2})):
        found, of_lots, alone = only_product(products, name, Scores(rule.normal), rule.lots)
        assert set((found.image % 3).tolist()) == remainder and len(found.image) == products.counts[name]
        assert alone.counts == {name: len(found.image)}
        if of_lots is not None:
            assert len({(score % 5, lot) for score, lot in zip(found.image, of_lots.numbers, strict=True)}) == 5
    above = products.above(rule.normal, 20.0)
    assert above == {
        "bolt": int(((scores > 20) & (scores % 3 > 0)).sum()),
        "nut": int(((scores > 20) & (scores % 3 == 0)).sum()),
    }


def test_a_part_of_several_images_counts_once() -> None:
    origins = [Origin(product="nut", part="1"), Origin(product="nut", part="1"), Origin(part="2")]
    found = find_products(np.array([4, 2], np.float32), np.arange(3), np.array([0, 0, 1]), origins, None)
    assert found.counts == {UNSTATED: 1, "nut": 1} and found.numbers.tolist() == [0, 1]


def test_nothing_is_known_without_products() -> None:
    for origins in ((), [Origin(lot="A")] * 2):
        assert find_products(np.zeros(2, np.float32), np.arange(2), np.arange(2), origins, None) is None


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="numbered from 0 to 1, each once at least"):
        Products(("bolt", "nut"), np.array([0, 0]))
    with pytest.raises(InputError, match="one whole number per score"):
        Products(("bolt",), np.array([0.0]))
    with pytest.raises(InputError, match="products are not stated, got 'nut'"):
        only_product(None, "nut", Scores(np.zeros(1)), None)
    with pytest.raises(InputError, match=r"product must be one of bolt, got 'bold'. Did you mean 'bolt'"):
        only_product(Products(("bolt",), np.array([0])), "bold", Scores(np.zeros(1)), None)
