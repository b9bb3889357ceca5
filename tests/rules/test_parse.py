"""Rules in words."""

import inspect

import pytest

from amiss.core.errors import InputError
from amiss.rules import RULES, create_rule, parse_rule
from amiss.rules.parse import EXAMPLES


@pytest.mark.parametrize(
    ("text", "name", "config"),
    [
        ("conformal", "conformal", {"alpha": "auto"}),
        ("conformal:5%", "conformal", {"alpha": 0.05}),
        (" certified:0.01, 90% ", "certified", {"alpha": 0.01, "confidence": 0.9}),
        ("certified:confidence=0.9", "certified", {"alpha": "auto", "confidence": 0.9}),
        ("bootstrap:7%,resamples=500", "bootstrap", {"alpha": 0.07, "resamples": 500, "seed": 0}),
        ("fixed:-2", "fixed", {"threshold": -2.0}),
        ("fixed:1e3", "fixed", {"threshold": 1000.0}),
        ("sigma", "sigma", {"k": 3.0}),
        ("sigma:2.5", "sigma", {"k": 2.5}),
        ("quantile:99%", "quantile", {"q": 0.99}),
        ("tail:0.1%", "tail", {"alpha": 0.001, "seed": 0}),
        ("triage:5%,0.5%", "triage", {"accept": 0.05, "reject": 0.005, "confidence": None}),
        ("triage:reject=1%,accept=5%,confidence=0.9", "triage", {"accept": 0.05, "reject": 0.01, "confidence": 0.9}),
    ],
)
def test_words(text, name, config):
    rule = parse_rule(text)
    assert rule.name == name and rule.config() == config


def test_options_are_further_arguments_and_none_is_not_given():
    assert parse_rule("certified:1%", confidence=0.9, alpha=None).config() == {"alpha": 0.01, "confidence": 0.9}


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("magic", {}, ["'magic'", "conformal"]),
        ("conformall:1%", {}, ["Did you mean 'conformal'"]),
        ("conformal:much", {}, ["got 'much'", "0.05"]),
        ("conformal:", {}, ["alpha must be", "got ''"]),
        ("sigma:1,2", {}, ["sigma takes k", "sigma:3"]),
        ("sigma:q=1", {}, ["q does not belong", "takes k"]),
        ("conformal:1%", {"alpha": 0.02}, ["alpha", "twice"]),
        ("certified:1%,alpha=2%", {}, ["alpha", "twice"]),
        ("conformal", {"threshold": 2.0}, ["threshold does not belong", "alpha"]),
        ("fixed", {"threshold": None}, ["needs threshold", "fixed:2.5", "--threshold"]),
        ("triage:5%", {}, ["needs reject", "triage:5%,0.5%"]),
        ("tail:50%", {}, ["alpha must be at most 0.05", "got 0.5", "conformal"]),
    ],
)
def test_mistakes_get_one_line_that_says_what_to_write(text, options, words):
    with pytest.raises(InputError) as caught:
        parse_rule(text, **options)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_an_example_that_works_and_a_config_that_names_its_arguments(name):
    rule = parse_rule(EXAMPLES[name])
    assert rule.name == name and set(rule.config()) == set(inspect.signature(RULES[name]).parameters)
    assert create_rule(name, **rule.config()).config() == rule.config()


def test_the_examples_are_those_of_the_rules():
    assert list(EXAMPLES) == sorted(RULES)
