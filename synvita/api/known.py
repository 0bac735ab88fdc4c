"""What there is by name: `synvita.known.models()` and so on. Lists of names, sorted."""

from __future__ import annotations


def models() -> list[str]:
    """Video LLMs that are shipped and load by their names (tiny: they know coloured shapes)."""
    from synvita.core.reading import read_json
    from synvita.videollm.checkpoints import SHIPPED
    from synvita.videollm.models import MODELS

    kinds = {path.parent.name: read_json(path) for path in SHIPPED.glob("*/config.json")}
    of_images = {name for name, config in kinds.items() if config["model_type"] == "llava" and "text_config" in config}
    return sorted(name for name, config in kinds.items() if config["model_type"] in MODELS and name not in of_images)


def families() -> list[str]:
    """Kinds of video LLMs (`model_type` of a checkpoint's config.json) that load from a folder or the hub."""
    from synvita.videollm.models import MODELS

    return sorted(MODELS)


def scorers() -> list[str]:
    """Scorers of `synvita weigh` and `synvita rank`."""
    from synvita.weigh.scorer import SCORERS

    return sorted(SCORERS)


def generators() -> list[str]:
    """Text-to-video models of `synvita generate` and `synvita clip`."""
    from synvita.generate.generator import GENERATORS

    return sorted(GENERATORS)


def recipes() -> list[str]:
    """Whole configurations, for `recipe=` and `--recipe`."""
    from synvita.recipes import RECIPES

    return sorted(RECIPES)


def tasks() -> list[str]:
    """What an arm is asked, for `tasks=` and `--tasks`."""
    from synvita.core import vocabulary

    return [task.name for task in vocabulary.tasks()]


def benchmarks() -> list[str]:
    """Public test sets of `synvita evaluate --benchmark` and `--tasks`."""
    from synvita.evaluate.benchmarks.registry import known

    return sorted(known())
