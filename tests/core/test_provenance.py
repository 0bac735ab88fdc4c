"""Digests and seeds are those of the content, computed here once more with the standard library alone."""

import hashlib
import json

import numpy as np
import pytest

from synvita.core.provenance import digest, file_digest, folder_digest, seed_of


def test_a_digest_is_sha256_of_sorted_json():
    text = '{"a": [1, null, "é"], "b": 0.5}'
    assert digest({"b": 0.5, "a": [1, None, "é"]}) == hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
    assert digest({"b": 0.5, "a": [1, None, "é"]}, 8) == digest({"a": [1, None, "é"], "b": 0.5})[:8]


def test_a_digest_stays_the_same_from_version_to_version():
    """Run folders and caches hold these; another rule would make every clip again."""
    assert digest("a") == "ac8d8342bbb2362d"  # printf '"a"' | sha256sum
    assert (
        seed_of("clip", "a red circle", 3) == 7414148795472886704
    )  # of its JSON, half of the first 16 digits that sha256sum prints


def test_what_json_does_not_know_is_taken_as_text(tmp_path):
    assert digest([tmp_path]) == digest([str(tmp_path)])


def test_a_seed_is_the_first_63_bits_of_the_digest():
    for content in [(), ("lora", 0), ("lora", 1), ("é", [1, 2])]:
        first = int.from_bytes(hashlib.sha256(json.dumps(list(content), ensure_ascii=False).encode()).digest()[:8])
        assert seed_of(*content) == first // 2 < 2**63
    np.random.default_rng([seed_of("fits")])


def test_what_goes_into_a_seed_is_kept_apart():
    seeds = {seed_of("ab", "c"), seed_of("a", "bc"), seed_of("abc"), seed_of("c", "ab"), seed_of(1), seed_of("1")}
    assert len(seeds) == 6


@pytest.mark.parametrize("data", [b"", b"text\r\n", bytes(range(256)) * 5000])
def test_a_files_digest_is_that_of_its_bytes_whatever_its_name(tmp_path, data):
    for name in ("a.bin", "b.txt"):
        (tmp_path / name).write_bytes(data)
        assert file_digest(tmp_path / name) == hashlib.sha256(data).hexdigest()[:16]
    assert file_digest(tmp_path / "a.bin", 4) == hashlib.sha256(data).hexdigest()[:4]


@pytest.fixture
def checkpoint(tmp_path):
    for name in ("config.json", "model.safetensors", "old.bin", "chat_template.jinja", "README.md"):
        (tmp_path / name).write_text(name)
    return tmp_path


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "old.bin", "chat_template.jinja"])
def test_a_checkpoint_is_another_one_when_a_file_that_counts_changes_or_gets_another_name(checkpoint, name):
    before = folder_digest(checkpoint)
    (checkpoint / name).write_text("else")
    changed = folder_digest(checkpoint)
    (checkpoint / name).write_text(name)
    assert folder_digest(checkpoint) == before != changed
    (checkpoint / name).rename(checkpoint / f"x{name}")
    assert folder_digest(checkpoint) != before


def test_a_checkpoint_is_the_same_with_another_readme_and_in_another_order(checkpoint, tmp_path_factory):
    before = folder_digest(checkpoint)
    (checkpoint / "README.md").write_text("else")
    assert folder_digest(checkpoint) == before
    copy = tmp_path_factory.mktemp("copy")
    for path in sorted(checkpoint.iterdir(), reverse=True):
        (copy / path.name).write_bytes(path.read_bytes())
    assert folder_digest(copy) == before
    rows = [
        [name, hashlib.sha256(name.encode()).hexdigest()[:16]]
        for name in ("chat_template.jinja", "config.json", "model.safetensors", "old.bin")
    ]
    assert before == hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]
