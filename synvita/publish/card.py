"""The model card of a trained arm: what it is, how it was made and what was measured, from the run's files.

No path of the machine stands in it, and nothing that the files do not say.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import yaml

from synvita.core.names import hub_name
from synvita.core.reading import read_json, read_yaml
from synvita.core.run_tasks import with_own
from synvita.core.store import write_atomic
from synvita.core.vocabulary import arm_title, main_figures

CARD = "README.md"
UNKNOWN = "not recorded"
MINIATURE = "In the miniature, a simulated world of moving coloured shapes: the figures say nothing of real videos."


def write_card(folder: Path) -> None:
    """`README.md` of an arm's folder; where it stands already, it gets the figures of the day."""
    text, _ = card(folder, f"{folder.parents[2].name}, {folder.parent.name}, seed {folder.name}")
    if not (folder / CARD).is_file() or (folder / CARD).read_text(encoding="utf-8") != text:
        write_atomic(folder / CARD, text)


def card(folder: Path, title: str) -> tuple[str, list[str]]:
    """The card of `RUN/models/MODEL/adapters/ARM/SEED`, and what it lacks.

    ValueError: a file of the folder or of the run was edited to something else.
    """
    folder = folder.resolve()
    facts, base = read_json(folder / "arm.json"), read_json(folder / "base.json", ["base_revision"])["base_revision"]
    home, run, notes = folder.parents[2], folder.parents[4], []
    train, config = settings_of(home, run)
    if not train:
        notes.append("no settings of a base model above the folder: the card says nothing of them")
    model, on_hub = name_of(str(train.get("model", UNKNOWN)))
    measured = figures_of(home, run, facts | {"arm": folder.parent.name, "seed": folder.name})
    if not measured:
        notes.append("no figures of this adapter in results.json; first run synvita evaluate")
    elif config.get("world"):
        measured = [MINIATURE, "", *measured]
    lines = [
        *("---", *([f"base_model: {model}"] if on_hub else []), "library_name: peft", "tags: [synvita, lora]", "---"),
        *(f"# {title}", ""),
        "A LoRA adapter for a video language model that is asked whether a caption fits a video (SynViTA, CVPR 2025,",
        "[arXiv 2503.18507](https://arxiv.org/abs/2503.18507)).",
        *("", *made(folder, facts, model, base)),
        *("", "## Measured", "", *(measured or ["Not measured yet."])),
        *("", "## Use", "", *use(model, folder)),
        *("", "## Recipe", "", *recipe(folder.parent.name, facts, train, config)),
        *("", "Licence: that of the base model and of the training data; the program does not know them."),
    ]
    return "\n".join(lines) + "\n", notes


# ---- its parts


def made(folder: Path, facts: dict[str, Any], model: str, base: str) -> list[str]:
    arm = folder.parent.name
    title = f"{arm_title(arm)} (`{arm}`)" if arm_title(arm) != arm else f"`{arm}`"
    made_from = facts.get("made_from", {})
    if not isinstance(made_from, dict):
        raise ValueError(f"{folder / 'arm.json'}: made_from: {made_from!r} is no object; train the arm again")
    digests = ", ".join(f"`{name}` {digest}" for name, digest in made_from.items()) or UNKNOWN
    number, with_clip = (facts.get(key, UNKNOWN) for key in ("triplets", "with_clip"))
    return [
        f"- Base: {model}, revision {base}",
        f"- Arm: {title}, seed {facts.get('seed', folder.name)}; weights: {facts.get('weights_from', UNKNOWN)}",
        f"- Trained on {number} triplets, {with_clip} with a synthetic clip",
        f"- Data digests: {digests}",
        f"- Prompt behind the video: {code(facts['prompt']) if 'prompt' in facts else UNKNOWN}",
        f"- Frames: {frames_text(facts['frames'], folder / 'arm.json') if 'frames' in facts else UNKNOWN}",
    ]


def code(text: str) -> str:
    return f"`{' '.join(str(text).split())}`"


def frames_text(frames: Any, path: Path) -> str:
    """As `core.frame_rules.FramePolicy` has them. ValueError: something else, with the file's name."""
    try:
        number = f"{frames['count']} of each video" if frames.get("count") else f"{frames['fps']:g} a second"
        size = f", decoded to {frames['size'][0]} x {frames['size'][1]} pixels" if frames.get("size") else ""
        return f"{number}, rule `{frames.get('rule', UNKNOWN)}`{size}"
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: frames: {frames!r} says no choice of frames; train the arm again") from None


def figures_of(home: Path, run: Path, arm: dict[str, Any]) -> list[str]:
    """Lines of a table: every main figure with its interval, in percent; none where another adapter was asked."""
    path, stamp = run / "results.json", home / "pairs" / arm["arm"] / arm["seed"] / "stamp.json"
    if not path.is_file() or not stamp.is_file() or read_json(stamp).get("adapter") != arm.get("adapter"):
        return []
    results = read_json(path, ["arms"])
    asked = f"models/{home.name}/pairs/{arm['arm']}/{arm['seed']}/"
    if not any(file.startswith(asked) for file in results.get("made_from", {})):
        return []
    of_model = results if results.get("model") == home.name else results.get("models", {}).get(home.name, {})
    entry, rows = of_model.get("arms", {}).get(arm["arm"], {}), []
    for task in with_own(main_figures(), {"": entry}):
        one = entry.get(task.name) or {}
        if one.get(task.metric) is not None:
            low, high = one.get("low"), one.get("high")
            interval = "" if low is None or high is None else f"[{100 * low:.1f}, {100 * high:.1f}]"
            pairs = one["expected"] - one.get("missing", 0) if "expected" in one else ""
            rows.append(f"| {task.title} | {task.measure} | {100 * one[task.metric]:.1f} | {interval} | {pairs} |")
    return ["| test | figure | % | interval | pairs |", "| --- | --- | --- | --- | --- |", *rows] if rows else []


def use(model: str, folder: Path) -> list[str]:
    inner = "the language model inside the base"
    with contextlib.suppress(KeyError, TypeError):
        inner = f"`{read_json(folder / 'adapter_config.json')['auto_mapping']['base_model_class']}`, {inner}"
    return [
        f'```python\nimport synvita\n\naligner = synvita.Aligner.from_pretrained("{model}", adapter="FOLDER")',
        'aligner.score("clip.mp4", ["a caption", "another one"])\n```',
        "",
        f"`peft.PeftModel.from_pretrained(language_model, FOLDER)` puts it on {inner}.",
    ]


def recipe(arm: str, facts: dict[str, Any], train: dict[str, Any], config: dict[str, Any]) -> list[str]:
    """The command, and every setting of the training and of the arm; files by name only."""
    if not train:
        return [f"Trained with `synvita train --arms {arm}`; the settings are {UNKNOWN}."]
    shown = {key: value for key, value in train.items() if key not in ("model", "tower", "base")}
    shown |= {key: name_of(train[key])[0] for key in ("model", "tower", "base") if train.get(key)}
    arms = (config.get("train") or {}).get("arms") or {}
    text = yaml.safe_dump(
        {"train": shown | {"arms": {arm: arms.get(arm, UNKNOWN)}}}, sort_keys=False, allow_unicode=True
    )
    seed = f" --train.seed {facts['seed']}" if facts.get("seed") else ""
    return [
        f"    synvita train --run RUN --arms {arm}{seed} --config recipe.yaml",
        *("", "with `recipe.yaml`:", "", "```yaml", text.rstrip(), "```"),
    ]


def settings_of(home: Path, run: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """How the base model's arms were trained, and the run's configuration; empty where there is none."""
    train = read_json(home / "stamp.json") if (home / "stamp.json").is_file() else {}
    config = read_yaml(run / "config.yaml") if (run / "config.yaml").is_file() else {}
    return train, config


def name_of(model: str) -> tuple[str, bool]:
    """A checkpoint's name, and whether it is one of the hub's: of a folder the last part of its path only."""
    on_hub = hub_name(model) and not Path(model).exists()
    return (model if on_hub else Path(model).name), on_hub
