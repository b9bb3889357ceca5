"""One model of several products: the statement says so, and each product can have a threshold of its own."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import amiss
from amiss.cli.main import app
from amiss.core.errors import CalibrationError, InputError, TamperedArtefactError
from amiss.core.images import Images
from amiss.core.origin import Origin
from amiss.core.scores import Scores
from amiss.core.survey import survey
from amiss.inspector import Inspector
from amiss.rules import Conformal
from amiss.testing import toy_part, toy_texture

COUNTS = {"bolt": 60, "nut": 40}


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    images = Images.join([toy_part(60, seed=0).images, toy_texture(40, seed=0).images])
    origins = [Origin(product=name) for name, count in COUNTS.items() for _ in range(count)]
    settings = {"method": "mahalanobis", "preset": "tiny", "size": 64, "calibration": 0.5, "rule": "conformal:10%"}
    return amiss.fit(images, origins=origins, **settings)


def test_the_statement_says_that_one_threshold_serves_all(inspector: Inspector) -> None:
    bolts, nuts = (inspector.calibration.products[name] for name in ("bolt", "nut"))
    assert bolts + nuts == 50 == inspector.rule.n
    assert (
        f"One threshold serves all 2 products, calibrated on {bolts} of bolt and {nuts} of nut" in inspector.statement()
    )


@pytest.mark.parametrize("name", ["bolt", "nut"])
def test_a_product_s_rule_is_that_of_its_own_scores(inspector: Inspector, name: str) -> None:
    rule = Conformal(0.2)
    alone = inspector.with_rule(rule, product=name)
    world = {"bolt": toy_part(60, seed=0), "nut": toy_texture(40, seed=0)}[name].images
    known = {identity: index for index, identity in enumerate(survey(world).identities)}
    seen = [known[identity] for identity in inspector.parts.images.calibrated if identity in known]
    wanted = rule.calibrate(Scores(inspector.image_scores(world.subset(seen)).image))
    np.testing.assert_allclose(alone.rule.normal, wanted.normal, rtol=1e-6)
    assert alone.rule.threshold == pytest.approx(wanted.threshold) and alone.rule.n == len(seen)
    assert f"This is for the product {name} only." in alone.statement() and "One threshold" not in alone.statement()


def test_products_are_kept_on_disk(inspector: Inspector, tmp_path) -> None:
    inspector.save(tmp_path / "parts.amiss")
    again = amiss.load(tmp_path / "parts.amiss")
    assert again.fingerprint == inspector.fingerprint and again.products.counts == inspector.products.counts
    one, other = (each.with_rule(Conformal(0.2), product="nut") for each in (inspector, again))
    assert one.rule.threshold == other.rule.threshold and one.fingerprint == other.fingerprint
    other.save(tmp_path / "nut.amiss")
    assert amiss.load(tmp_path / "nut.amiss").with_rule(Conformal(0.1), product="nut").rule.n == other.rule.n
    with pytest.raises(InputError, match="product must be one of nut, got 'bolt'"):
        other.with_rule(Conformal(0.1), product="bolt")


def test_a_record_of_other_products_is_refused(inspector: Inspector, tmp_path) -> None:
    wrong = inspector.calibration.model_copy(update={"products": {"bolt": 1, "nut": 49}})
    replace(inspector, calibration=wrong).save(tmp_path / "wrong.amiss")
    with pytest.raises(TamperedArtefactError, match="products must be those of the record"):
        amiss.load(tmp_path / "wrong.amiss")


def test_new_parts_of_one_product_calibrate_for_it(inspector: Inspector) -> None:
    images = toy_texture(15, seed=5).images
    again = inspector.calibrate(images, origins=[Origin(product="washer")] * 15)
    assert "This is for the product washer only." in again.statement()
    assert inspector.calibrate(images).calibration.products == {}


def test_too_few_of_one_product_say_how_many_are_needed(inspector: Inspector) -> None:
    with pytest.raises(CalibrationError, match="needs 99 good calibration images, got 19"):
        inspector.with_rule(Conformal(0.01), product="nut")


def test_calibrate_product_on_the_command_line(inspector: Inspector, tmp_path) -> None:
    model, output = tmp_path / "parts.amiss", tmp_path / "nut.amiss"
    inspector.save(model)
    run = CliRunner().invoke(app, ["calibrate", str(model), "--product", "nut", "--output", str(output)])
    assert run.exit_code == 0 and "This is for the product nut only." in run.output
    assert amiss.load(output).products.counts == {"nut": inspector.calibration.products["nut"]}
    for arguments, message in (
        (["--product", "nuts"], "Did you mean 'nut'"),
        ([str(tmp_path), "--product", "nut"], f"{tmp_path}#nut"),
    ):
        run = CliRunner().invoke(app, ["calibrate", str(model), *arguments, "--output", str(tmp_path / "x.amiss")])
        assert run.exit_code != 0 and message in " ".join((run.output + str(run.exception)).split())
