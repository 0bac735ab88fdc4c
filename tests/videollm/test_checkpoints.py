"""Where a model name leads, and what a folder may and may not say about its weights."""

import tomllib

import pytest

from synvita.videollm.checkpoints import miniature_warning


def test_a_shipped_miniature_is_known_by_its_name_and_by_any_path_to_it(checkpoints, monkeypatch):
    want = "mini-video-llava knows coloured shapes only; its numbers on real videos mean nothing; give --model"
    assert miniature_warning("mini-video-llava") == want
    assert miniature_warning(checkpoints / "mini-video-llava") == want
    monkeypatch.chdir(checkpoints.parent)
    assert miniature_warning("checkpoints/mini-video-llava/") == want
    assert "mini-llava knows" in miniature_warning("mini-llava", "--weigh.models.llava")
    assert miniature_warning("mini-llava", "--weigh.models.llava").endswith("give --weigh.models.llava")


@pytest.mark.parametrize("name", ["owner/mini-llava", "own_parts:Model", "mini-nothing", ""])
def test_any_other_model_gets_no_such_warning(name):
    assert miniature_warning(name) is None


def test_a_folder_of_the_same_name_is_no_miniature(tmp_path, monkeypatch):
    (tmp_path / "mini-llava").mkdir()
    (tmp_path / "mini-llava" / "config.json").write_text("{}")
    assert miniature_warning(tmp_path / "mini-llava") is None


def test_every_file_of_a_shipped_checkpoint_goes_into_the_wheel(checkpoints):
    package = checkpoints.parent
    settings = tomllib.loads((package.parent.parent / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["package-data"]["synvita.world"]
    packed = {path for pattern in patterns for path in package.glob(pattern) if path.is_file()}
    files = {path for path in checkpoints.rglob("*") if path.is_file()}
    assert files == packed and any(len(path.relative_to(checkpoints).parts) > 2 for path in files)
