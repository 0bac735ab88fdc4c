"""A backend by its short name or as module:Class."""

import fractions
import json

import pytest

from synvita.core.backends import load_backend

TABLE = {"json": "json:JSONDecoder", "absent": "no_such_module:Thing", "typo": "json:Nothing"}


def test_a_short_name_is_looked_up_and_a_class_of_ones_own_imported():
    assert load_backend(TABLE, "json", "--x") is json.JSONDecoder
    assert load_backend(TABLE, "fractions:Fraction", "--x") is fractions.Fraction


def test_an_unknown_name_lists_the_known_ones_in_order():
    known = "known: absent, json, typo; or your own as 'module:Class'"
    with pytest.raises(ValueError, match=rf"^--x: unknown 'jsn'; did you mean 'json'\? {known}"):
        load_backend(TABLE, "jsn", "--x")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("absent", "cannot load 'no_such_module:Thing': No module named 'no_such_module'"),
        ("typo", "cannot load 'json:Nothing': module 'json' has no attribute 'Nothing'"),
        ("nowhere_at_all:C", "cannot load 'nowhere_at_all:C': No module named"),
    ],
)
def test_what_cannot_be_imported_is_named(name, says):
    with pytest.raises(ValueError, match=f"^--x: {says}"):
        load_backend(TABLE, name, "--x")
