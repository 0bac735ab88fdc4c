"""No name leads out of a run folder."""

import pytest

from synvita.core.names import check_name, folder_name

GOOD = ["a", "7", "synvita", "A.b-c_d", "real_only", "a..b", "a.", "x" * 64]
BAD = [
    "", ".", "..", ".hidden", "-flag", "_x", "a/b", "a\\b", "/abs", "../up", "a b", "a\n", "\na", "ä", "a:b", "a\0",
    "x" * 65, None, 3, True, ["a"],
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_is_taken_as_it_is(name):
    assert check_name("--arm", name) == name


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_is_refused_with_the_knob_and_what_would_do(name):
    with pytest.raises(ValueError, match=r"^--arm: .* cannot be a folder's name; take 1 to 64 letters") as error:
        check_name("--arm", name)
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


def test_a_long_bad_name_is_not_repeated_in_full():
    with pytest.raises(ValueError, match=r"^--arm: 'x{80}' cannot"):
        check_name("--arm", "x" * 5000)


@pytest.mark.parametrize(
    ("backend", "name"),
    [
        ("llava", "llava"),
        ("my_module:MyScorer", "MyScorer"),
        ("package.module:Class", "Class"),
        ("owner/model-7B", "model-7B"),
        ("/data/checkpoints/tiny/", "tiny"),
        ("C:\\models\\tiny\\", "tiny"),
    ],
)
def test_a_backends_files_are_named_after_its_last_part(backend, name):
    assert folder_name(backend, "--weigh.scorers") == name


@pytest.mark.parametrize("backend", ["owner/..", "module:", "..", "/", "owner/a b"])
def test_a_backend_without_a_usable_last_part_is_refused(backend):
    with pytest.raises(ValueError, match=r"^--weigh.scorers: .*cannot be a folder's name"):
        folder_name(backend, "--weigh.scorers")
