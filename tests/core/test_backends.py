"""A backend by its short name or as module:Class."""

import fractions
import json

import pytest

from synvita.core.backends import Part, load_backend

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


# ---- parts


class Thing:
    """A part with two settings."""

    def __init__(self, size, colour="red"):
        self.size, self.colour = size, colour

    def show(self): ...


KNOWN = {"thing": f"{__name__}:Thing"}


def part(entries, name="mine", knob=""):
    return Part.of("things", name, entries, knob)


def test_what_the_configuration_says_of_a_part_reaches_its_class():
    made = part({"mine": {"use": "thing", "size": 3, "colour": "blue", "batch": 4}})
    assert (made.name, made.use, made.batch, made.folder) == ("mine", "thing", 4, "mine")
    assert made.options == {"size": 3, "colour": "blue"}
    thing = made.make(KNOWN, ("show",))
    assert (thing.size, thing.colour) == (3, "blue")


def test_a_name_without_an_entry_is_the_part_itself():
    found = part({}, "module.of:Mine", "--things")
    assert (found.use, found.folder, found.options, found.batch) == ("module.of:Mine", "Mine", {}, 1)
    assert found.knob == "--things: module.of:Mine" and part({"mine": {}}, knob="--x").knob == "--things.mine"
    assert part({}).knob == "--things.mine"


def test_a_stamp_says_what_a_part_is_and_not_where_it_works():
    entries = {"mine": {"use": "thing", "size": 3, "device": "cuda", "device_map": "auto", "batch": 2}}
    found = part(entries)
    assert found.stamp == {"name": "mine", "use": "thing", "options": {"size": 3}}
    moved = {"mine": {"use": "other", "size": 9, "device": "cpu", "batch": 5}}
    back = Part.of_stamp("things", found.stamp, moved)
    assert back == Part("things", "mine", "thing", {"size": 3, "device": "cpu"}, 5, "--things.mine")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"use": 3}, r"^--things\.mine\.use: 3 is no name; give a known one"),
        ({"batch": 0}, r"^--things\.mine\.batch: 0 is not a positive number"),
        ({"batch": True}, r"^--things\.mine\.batch: True is not a positive number"),
        ({"batch": "4"}, r"^--things\.mine\.batch: '4' is not a positive number"),
        ({"use": "thing", "sise": 3}, r"^--things\.mine\.sise: thing takes no such setting; did you mean size\?"),
        ({"use": "thing", "zzz": 3}, r"^--things\.mine\.zzz: thing takes no such setting; known: size, colour$"),
        ({"use": "thing"}, r"^--things\.mine: thing cannot be made: .*'size'"),
        ({"use": "thing", "size": 1}, r"^--things\.mine: thing has no hide\(\); it needs show, hide$"),
        ({"use": "thng"}, r"^--things\.mine: unknown 'thng'; did you mean 'thing'\?"),
        ({"use": "json:__doc__"}, r"^--things\.mine: json:__doc__ is no class"),
    ],
)
def test_a_part_that_cannot_be_is_one_line_with_its_knob(entry, message):
    with pytest.raises(ValueError, match=message) as caught:
        part({"mine": entry}).make(KNOWN, ("show", "hide"))
    assert "\n" not in str(caught.value)
