"""What a run folder holds and what it lacks, by the stamps that lie in it; shards put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from synvita.arms.left import all_arms, base_of
from synvita.core.backends import Part
from synvita.core.reading import read_json
from synvita.core.run_folder import again, only_one
from synvita.core.set_aside import read_set_aside
from synvita.core.stage import Stage, check_stamp
from synvita.core.store import parse_lines
from synvita.core.vocabulary import UNTRAINED
from synvita.evaluate.from_table import arms_from_tables
from synvita.executors.job import Outcome
from synvita.recipes import RunConfig
from synvita.train.arm_folder import is_trained
from synvita.triplets.negatives.stage import CAPTIONS, FOLDER, MakeNegatives, write_triplets


@dataclass(frozen=True)
class Claim:
    """As much of a stage as `check_stamp` needs."""

    folder: str
    stamp: dict[str, Any]


def stamps(run: Path, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """(folder, stamp) of the clips or the scores of a run, by name."""
    paths = sorted(run.glob(f"{kind}/*/stamp.json"))
    return [(path.parent.relative_to(run).as_posix(), read_json(path)) for path in paths]


def check_stamps(run: Path, config: RunConfig) -> None:
    """Settings that clips or scores of this run were not made with are refused before anything is written.

    Raises:
        ValueError: as `core.stage.check_stamp`.
    """
    sections = (("clips", "generators", config.generators), ("scores", "scorers", config.scorers))
    for kind, section, entries in sections:
        for folder, stamp in stamps(run, kind):  # what a part says of itself is compared where it works
            key = section.removesuffix("s")
            if not isinstance(stamp.get(key), dict):
                continue
            claim = {**stamp, key: Part.of(section, stamp[key]["name"], entries).stamp}
            if "seed" in stamp:
                claim["seed"] = config.generate.seed
            check_stamp(run, Claim(folder, claim))
    for folder, stamp in stamps(run, "models"):
        for one in (config, *(config.of_model(name) for name in config.models)):
            if one.train.home == folder:
                check_stamp(run, Claim(folder, stamp | one.train.stamp))


def count_lines(path: Path) -> int:
    return sum(1 for _ in parse_lines(path))


def status(run: Path, config: RunConfig) -> str:
    """`states` as lines."""
    lines = states(run, config)
    width = max(map(len, lines)) + 1
    return "\n".join(f"{name:<{width}} {text}" for name, text in lines.items())


def states(run: Path, config: RunConfig) -> dict[str, str]:
    """Stage or part -> items there, missing, set aside; then which arms are trained and asked."""
    triplets = count_lines(run / "triplets.jsonl") if (run / "triplets.jsonl").exists() else 0
    lines = {"triplets": f"{triplets} there"}
    if (run / CAPTIONS).exists():
        lines[FOLDER] = state_of(run, MakeNegatives)
    if triplets:
        for folder, make in every_stage(run, config).items():
            lines[folder] = state_of(run, make)
    for one in models_there(run, config):
        for arm in all_arms(one):
            lines[f"{one.train.home}: {arm}"] = state_of_arm(run, one, arm)
        for arm, of in arms_from_tables(run / one.train.home, one.train.seed).items():
            lines[f"{one.train.home}: {arm}"] = f"read from {of['table']}"
    aside = Counter(row["stage"] for row in read_set_aside(run))
    return lines | {f"set aside by {stage}": str(number) for stage, number in aside.items()}


def state_of_arm(run: Path, config: RunConfig, arm: str) -> str:
    home, seed = run / config.train.home, config.train.seed
    asked = len(list((home / "pairs" / arm / str(seed)).glob("*.jsonl")))
    trained = arm == UNTRAINED or is_trained(home, arm, seed)
    begun = (home / "checkpoints" / arm / str(seed)).exists()
    return f"{'untrained' if arm == UNTRAINED else 'trained' if trained else 'begun' if begun else 'missing'}, " + (
        f"{asked} tasks asked"
    )


def arms_read(run: Path, seed: int) -> list[str]:
    """Arms whose scores were read from tables, of any base model."""
    return list(dict.fromkeys(arm for home in sorted(run.glob("models/*")) for arm in arms_from_tables(home, seed)))


def models_there(run: Path, config: RunConfig, names: Sequence[str] | None = None) -> list[RunConfig]:
    """The configuration for each base model: those named, or its own and all others that the run has arms of."""
    if names is None:
        names = [config.train.model_name, *(folder.removeprefix("models/") for folder, _ in stamps(run, "models"))]
    return [config_of(run, config, name) for name in dict.fromkeys(names)]


def config_of(run: Path, config: RunConfig, name: str | None) -> RunConfig:
    """The configuration with another base model: one of `models`, one that the run has arms of, or a checkpoint."""
    known = {folder.removeprefix("models/"): stamp for folder, stamp in stamps(run, "models")}
    if name in (None, config.train.model_name) or name in config.models or name not in known:
        return config.of_model(name)
    return config.of_stamp(name, known[name])


def every_stage(run: Path, config: RunConfig) -> dict[str, Callable[[], Stage | int]]:
    """Folder -> what makes the stage that fills it, of the folders that are there and of the configuration's.

    Instead of a stage, the number of clips that came as a table: nobody makes them here.
    """
    from synvita.generate.clips import MakeClips, generator_part
    from synvita.weigh.stage import ScoreClips, scorer_part

    found: dict[str, Callable[[], Stage | int]] = {}
    for folder, stamp in stamps(run, "clips"):
        table = partial(count_lines, run / folder / MakeClips.file)
        made = partial(MakeClips.of_stamp, stamp, config.generators, config.generate.best_of)
        found[folder] = made if "seed" in stamp else table
    generator = generator_part(config.generate.generator, config.generators)
    make = partial(MakeClips, generator, config.generate.seed, config.generate.best_of)
    found.setdefault(f"clips/{generator.folder}", make)
    for folder, stamp in stamps(run, "scores"):
        found[folder] = partial(ScoreClips.of_stamp, stamp, config.scorers)
    for name in config.weigh.every:
        scorer = scorer_part(name, config.scorers)
        found.setdefault(f"scores/{scorer.folder}", partial(ScoreClips, scorer))
    return found


def state_of(run: Path, make: Callable[[], Stage | int]) -> str:
    from synvita.executors.job import state

    try:
        stage = make()
        return f"{stage} there, from a table" if isinstance(stage, int) else state(stage, run)
    except (ValueError, OSError) as error:  # one that cannot be planned yet hides none of the others
        return f"unknown: {error.strerror or error if isinstance(error, OSError) else error}"


def merge_shards(run: Path, config: RunConfig) -> dict[str, Outcome]:
    """Folder -> what its shards had, of every stage whose shards wait; then what is made from all of them.

    Raises:
        ValueError: a shard is missing or has not ended; no shards wait.
    """
    from synvita.executors.job import has_shards, merge
    from synvita.generate.clips import MakeClips, link
    from synvita.weigh.stage import ScoreClips
    from synvita.weigh.weigh import weigh

    merged: dict[str, Outcome] = {}
    if has_shards(run / FOLDER):
        merged[f"{FOLDER}/{MakeNegatives.file}"] = merge(MakeNegatives(), run)
        write_triplets(run)
    waiting = [stamp for kind in ("clips", "scores") for f, stamp in stamps(run, kind) if has_shards(run / f)]
    best_of = config.generate.best_of
    clips = [MakeClips.of_stamp(stamp, config.generators, best_of) for stamp in waiting if "generator" in stamp]
    scores = [ScoreClips.of_stamp(stamp, config.scorers) for stamp in waiting if "scorer" in stamp]
    asked = [stage for one in models_there(run, config) for stage in asked_in_shards(run, one)]
    for stage in clips:
        merged[f"{stage.folder}/{stage.file}"] = merge(stage, run)
        link(run, stage)
    for other in (*scores, *asked):
        merged[f"{other.folder}/{other.file}"] = merge(other, run)
    if not merged:
        raise ValueError(f"--run: no shards wait in {run}; make some with: {again('generate', run)} --shard 1/8")
    known = {stamp["scorer"]["name"] for _, stamp in stamps(run, "scores")}
    if scores and known.issuperset(config.weigh.judges):
        mine = tuple(scorer.part.name for scorer in scores)
        groups = [group for group in config.weigh.ensembles if known.issuperset(group)]
        if not set(mine).issubset(name for group in groups for name in group):
            groups.append(mine)  # as `weigh --scorers` does with an ensemble that the configuration does not have
        with only_one(run, "weigh"):
            weigh(run, config.weigh, groups)
    return merged


def asked_in_shards(run: Path, config: RunConfig) -> list[Stage]:
    """What has been asked of a base model's arms in shards that wait."""
    from synvita.evaluate.ask import AskPairs

    folder = run / config.train.home / "pairs"
    found = {(p.parent.parent.name, p.parent.name, p.name.split(".")[0]) for p in folder.glob("*/*/*.shard-*")}
    base, of = base_of(config.train), run / config.train.home / "pairs"
    stages: list[Stage] = []
    for arm, seed, task in sorted(found):
        adapter = read_json(of / arm / seed / "stamp.json", ["adapter"])["adapter"]
        stages.append(AskPairs(task, arm, int(seed), base, config.evaluate, adapter))
    return stages
