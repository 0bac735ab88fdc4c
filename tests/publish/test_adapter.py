"""An adapter goes to the hub with a card made of the run's files; no network is asked."""

import json

import pytest

from synvita.cli import main

PROMPT = 'Does this video entail the description: "..."? ASSISTANT:'
MORE = {
    "made_from": {"triplets.jsonl": "d1"},
    "adapter": "a1",
    "prompt": PROMPT,
    "frames": {"count": 8, "rule": "both_ends", "size": [224, 224], "fps": 0.0},
}


@pytest.fixture
def folder(tmp_path):
    run = tmp_path / "run"
    found = run / "models" / "tiny" / "adapters" / "synvita" / "3"
    found.mkdir(parents=True)
    (found / "adapter_model.safetensors").write_bytes(b"weights")
    (found / "adapter_config.json").write_text('{"r": 4, "lora_alpha": 8, "target_modules": ["v_proj", "q_proj"]}')
    (found / "base.json").write_text('{"base_revision": "abc123"}')
    arm = {"arm": "synvita", "seed": 3, "weights_from": "difference of llava", "triplets": 42, "with_clip": 40}
    (found / "arm.json").write_text(json.dumps(arm | MORE))
    (run / "config.yaml").write_text("world: null\ntrain: {arms: {synvita: {weights: learned, margin: 0.2}}}\n")
    stamp = {"model": f"{tmp_path}/secret/base", "epochs": 4, "rate": 0.001, "lora": {"r": 4}}
    (run / "models" / "tiny" / "stamp.json").write_text(json.dumps(stamp))
    figures = {
        "open": {"auc": 0.8125, "low": 0.75, "high": 0.9, "expected": 63, "missing": 3},
        "qa": {"accuracy": None, "low": None, "high": None},
    }
    asked = run / "models" / "tiny" / "pairs" / "synvita" / "3"
    asked.mkdir(parents=True)
    (asked / "stamp.json").write_text('{"adapter": "a1"}')
    made_from = {"models/tiny/pairs/synvita/3/open.jsonl": "d2"}
    results = {"model": "tiny", "arms": {"synvita": figures}, "made_from": made_from}
    (run / "results.json").write_text(json.dumps(results))
    return found


class Hub:
    """What the library is asked for."""

    def __init__(self, monkeypatch, token="t", error=None):
        self.calls, self.error = [], error
        monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: self)

    def create_repo(self, repo, exist_ok):
        self.calls.append(("repo", repo))
        if self.error:
            raise self.error

    def create_commit(self, repo, operations, commit_message):
        self.calls.append(("commit", repo, {one.path_in_repo: one.path_or_fileobj for one in operations}))


def test_a_dry_run_shows_files_and_card_and_sends_nothing(folder, tmp_path, monkeypatch, capsys):
    hub, before = Hub(monkeypatch, token=None), sorted(folder.iterdir())
    assert main(["publish", "adapter", str(folder), "--repo", "me/mine", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    for text in (
        "           7  adapter_model.safetensors",
        "- Base: base, revision abc123",
        "- Arm: SynViTA (`synvita`), seed 3; weights: difference of llava",
        "- Trained on 42 triplets, 40 with a synthetic clip",
        "- Data digests: `triplets.jsonl` d1",
        f"- Prompt behind the video: `{PROMPT}`",
        "- Frames: 8 of each video, rule `both_ends`, decoded to 224 x 224 pixels",
        "synvita train --run RUN --arms synvita --train.seed 3 --config recipe.yaml",
        "  epochs: 4\n  rate: 0.001\n  lora:\n    r: 4\n",
        "  model: base\n  arms:\n    synvita:\n      weights: learned\n      margin: 0.2\n",
        "| Open | AUC | 81.2 | [75.0, 90.0] | 60 |",
        "nothing was sent",
    ):
        assert text in shown
    assert str(tmp_path) not in shown and "| Questions |" not in shown
    assert not hub.calls and sorted(folder.iterdir()) == before


def test_one_commit_carries_the_card_and_what_peft_needs(folder, monkeypatch):
    hub = Hub(monkeypatch)
    assert main(["publish", "adapter", str(folder), "--repo", "me/mine"]) == 0
    (made, commit) = hub.calls
    assert made == ("repo", "me/mine") and commit[1] == "me/mine"
    assert set(commit[2]) == {"README.md", "adapter_config.json", "adapter_model.safetensors", "base.json"}
    assert commit[2]["README.md"].startswith(b"---\nlibrary_name: peft")


@pytest.mark.parametrize(
    ("repo", "token", "error", "text"),
    [
        ("mine", "t", None, "--repo: 'mine' is no repository; give owner/name"),
        ("me/mine", None, None, "log in with: hf auth login (or set HF_TOKEN)"),
        ("me/mine", "t", OSError("403\nForbidden"), "the hub refuses (OSError: 403 Forbidden)"),
    ],
)
def test_what_cannot_go_up_is_said_in_one_line(folder, monkeypatch, capsys, repo, token, error, text):
    Hub(monkeypatch, token, error)
    assert main(["publish", "adapter", str(folder), "--repo", repo]) == 2
    assert text in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_folder_that_is_no_trained_arm_is_refused(folder, capsys):
    (folder / "base.json").unlink()
    assert main(["publish", "adapter", str(folder), "--repo", "me/mine"]) == 2
    assert "has no base.json; give the adapter's folder of a trained arm" in capsys.readouterr().err
