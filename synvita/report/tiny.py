"""Which shipped tiny checkpoints a run asked about real videos: they answer, and what they answer means nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synvita.core.artefacts import SCORES
from synvita.report.pairs import settings_of


def tiny_models(run: Path, asked: bool) -> list[str]:
    """Names of the tiny checkpoints that trained, were asked or weighed clips, where `config.yaml` says `world: null`.

    Args:
        asked: whether any arm has answers.
    """
    config = settings_of(run)
    if config.get("world", "not said") is not None:
        return []
    train, weigh = (part(config, name) for name in ("train", "weigh"))
    names = [train.get("model")] if asked else []
    if any(run.glob(SCORES)):
        given = [value for key in ("scorers", "also") if isinstance(value := weigh.get(key), list)]
        scorers = [str(name) for listed in given for name in listed]
        named = [part(part(config, "scorers"), one) for name in scorers for one in name.split("+")]
        names += [settings.get("checkpoint") for settings in named]
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name.startswith("mini-")))


def part(config: dict[str, Any], name: str) -> dict[str, Any]:
    """The settings under a name; none where it is not there, or something else."""
    value = config.get(name)
    return value if isinstance(value, dict) else {}


def tiny_note(names: list[str]) -> str:
    """One line for the page; empty where there is no such checkpoint."""
    if not names:
        return ""
    many = len(names) > 1
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if many else names[0]
    subject = f"The tiny checkpoints {listed} know" if many else f"The tiny checkpoint {listed} knows"
    return f"{subject} coloured shapes only; {'their' if many else 'its'} numbers on real videos mean nothing."
