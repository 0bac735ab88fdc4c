"""`synvita.Run`: the stages on one run folder, from Python. The commands of the same names call these methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from synvita import inventory, stages
from synvita.api.configuration import nested, settle
from synvita.arms.doing import run_arms
from synvita.arms.left import Do, all_arms
from synvita.core import arguments
from synvita.core.run_folder import need, only_one
from synvita.core.run_tasks import tasks_of
from synvita.core.vocabulary import UNTRAINED, check_names
from synvita.evaluate.from_table import ScoreTable, Taken
from synvita.executors.part import Look
from synvita.how import How
from synvita.inventory import arms_read, config_of
from synvita.ranking.table import files_beside
from synvita.recipes import RunConfig, recipe
from synvita.train.arm_folder import set_aside_by

Names = str | Sequence[str] | None


class Run:
    """A run folder. Every method is a stage: it goes on where an earlier call was, and says what it did.

    Args:
        folder: of the run; made by `make_triplets` or `import_triplets`.
        recipe: a named configuration (`synvita.known.recipes()`); default: the folder's own, else `mini` (with
            `import_triplets`: `own_triplets`).
        settings: values that differ, like {"train.epochs": 2} (`synvita config` prints all).
    Raises:
        ValueError: an argument of a wrong type or an unknown recipe; of the methods, what the commands refuse.
    """

    def __init__(self, folder: str | Path, recipe: str | None = None, settings: Mapping[str, Any] | None = None):
        self.folder = arguments.path("folder", folder, "a run folder, as text or pathlib.Path")
        self.recipe = None if recipe is None else known_recipe(recipe)
        self.settings = nested({} if settings is None else settings)
        self.settled: RunConfig | None = None

    @classmethod
    def of(cls, folder: Path, config: RunConfig) -> Run:
        """With a configuration that is settled already, as the commands do."""
        run = cls(folder)
        run.settled = config
        return run

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    def config(self, command: str = "status", default: str = "mini") -> RunConfig:
        """The whole configuration, as far as a stage needs it checked."""
        if self.settled is not None:
            return self.settled
        return settle(self.folder, command, self.recipe, settings=self.settings, default=default)

    # ---- the stages

    def make_triplets(self, workers: int = 1) -> int:
        """The miniature's triplets, videos and benchmarks; how many triplets there are. `workers`: processes."""
        stages.make_triplets(self.folder, self.config("triplets"), arguments.whole("workers", workers))
        return inventory.count_lines(self.folder / "triplets.jsonl")

    def import_triplets(self, table: str | Path, videos: str | Path | None = None) -> list[str]:
        """One's own triplets: a CSV, JSONL or Parquet table with video, caption, negative_caption.

        Args:
            videos: a folder that its videos are relative to (default: the table's own).
        Returns: the rows that were set aside, each with file, line and reason.
        """
        from synvita.triplets.importing import read_any

        root = None if videos is None else arguments.path("videos", videos, "a folder of videos")
        read = read_any(arguments.path("table", table, "a table of triplets"), root)
        self.config("triplets", "own_triplets")
        read.write(self.folder)
        return [str(line) for line in read.set_aside]

    def generate(
        self,
        generators: Names = None,
        clips: str | Path | None = None,
        workers: int = 1,
        executor: str = "local",
        address: str | None = None,
        shard: str | None = None,
    ) -> dict[str, dict[str, int]]:
        """A synthetic clip for each negative caption that lacks one.

        Args:
            generators: one after the other (default: the configuration's).
            clips: a table of clips that exist already (caption, file), instead of making some.
            workers, executor, address, shard: as of the command: processes (default 1), "local" or "ray", a cluster's
                address, "I/N".
        Returns: generator (or "clips", of a table) -> counts: made, kept, set_aside.
        """
        how = How.of(executor, arguments.whole("workers", workers), shard, address)
        some = arguments.names("generators", generators) or []
        config = self.config("generate")
        if clips is None:
            return stages.make_clips(self.folder, config, how, some)
        from synvita.generate.existing import take_clips

        table = arguments.path("clips", clips, "a table with the columns caption, file")
        return {"clips": take_clips(need(self.folder, "triplets.jsonl", "triplets import").parent, table)}

    def weigh(
        self,
        scorers: Names = None,
        workers: int = 1,
        executor: str = "local",
        address: str | None = None,
        shard: str | None = None,
    ) -> dict[str, int]:
        """Score every clip with both captions and turn the scores into weights.

        Args:
            scorers: these, as one ensemble (default: the configuration's). Others: as of `generate`.
        Returns: counts.
        """
        how = How.of(executor, arguments.whole("workers", workers), shard, address)
        some = arguments.names("scorers", scorers)
        return stages.make_weights(self.folder, self.config("weigh"), how, some)

    def train(
        self, arms: Names = None, model: str | None = None, workers: int = 2, processes: int = 1
    ) -> dict[str, dict[str, Any]]:
        """Fine-tune the arms of a base model.

        Args:
            arms: these only (default: all of the configuration).
            model: another base model, by name (default: the configuration's).
            workers: arms at a time (default 2). processes: GPUs that train one arm together (default 1).
        Returns: arm -> {"adapter": its folder, "set_aside": {file: reason} of what it could not be trained on}.
        """
        chosen = arguments.names("arms", arms)
        name = None if model is None else arguments.text("model", model, "a base model's name")
        numbers = arguments.whole("workers", workers), arguments.whole("processes", processes)
        config = config_of(self.folder, self.config("train"), name)
        known = [arm for arm in all_arms(config) if arm != UNTRAINED]
        some = known if chosen is None else check_names(chosen, known, "--arms")
        train = config.train
        with only_one(self.folder, f"train-{train.home}"):
            run_arms(self.folder, config, train.seed, *numbers, some, Do(ask=False), train.model_name)
        return {
            arm: {
                "adapter": self.folder / train.home / "adapters" / arm / str(train.seed),
                "set_aside": set_aside_by(self.folder, train.home, arm, train.seed),
            }
            for arm in some
        }

    def evaluate(
        self,
        tasks: Names = None,
        arms: Names = None,
        models: Names = None,
        workers: int = 2,
        executor: str = "local",
        address: str | None = None,
        shard: str | None = None,
        limit: int | None = None,
    ) -> dict[str, Any] | None:
        """Ask what is missing, then measure.

        Args:
            tasks, arms, models: these only (default: all that the run has). Others: as of `generate`.
            limit: a look at about so many videos of each task, kept apart in `look/`; the result says so, too.
        Returns: what `results.json` holds: figures as fractions, null where there is none; None of a shard.
        """
        how = How.of(executor, arguments.whole("workers", workers), shard, address)
        if limit is not None:
            how = replace(how, look=Look(arguments.whole("limit", limit)))
        chosen = [arguments.names(*one) for one in (("models", models), ("arms", arms), ("tasks", tasks))]
        config = self.config("evaluate")
        if chosen[1] is not None:
            chosen[1] = check_names(chosen[1], self.known_arms(config), "--arms")
        if chosen[2] is not None:
            chosen[2] = check_names(chosen[2], [task.name for task in tasks_of(self.folder)], "--tasks")
        return stages.evaluate(self.folder, config, how, stages.Which(*chosen))

    def known_arms(self, config: RunConfig) -> list[str]:
        """Arms that can be measured: of the configuration, and those that were read from tables."""
        return [*all_arms(config), *arms_read(self.folder, config.train.seed)]

    def read_scores(self, table: str | Path, name: str | None = None, models: Names = None) -> Taken:
        """An arm whose scores stand in a table (file, caption, score), beside those that are asked.

        Args:
            name: of the arm, and of the column, where there is one (default: the table's name, and `score`).
        Returns: what it got; `text` and `gaps` say it in words.
        """
        path = arguments.path("table", table, "a table with the columns file, caption, score")
        read = ScoreTable.read(path, name, files_beside(path))
        return stages.read_scores(self.folder, self.config("evaluate"), read, arguments.names("models", models))

    def report(self, look: bool = False) -> Path:
        """One self-contained page; its path. `look`: of what `evaluate` with a limit has measured."""
        self.config("report")
        return stages.make_report(self.folder, look)

    def compare(
        self,
        *others: str | Path | Run,
        arms: Names = None,
        models: Names = None,
        tasks: Names = None,
        reference: str | None = None,
        seed: int | None = None,
        draws: int | None = None,
        paper: bool = False,
        out: str | Path | None = None,
    ) -> dict[str, Any]:
        """What was asked here and in other run folders, side by side: the same arms of each, minus this one's.

        Args:
            others: run folders; none: the arms of this one, each minus `real_only`.
            arms, models, tasks: these only (default: all that were asked); a type's task is like "per_type.flip".
            reference: the run, model or arm that the others are compared with (default: this run; `real_only`).
            seed: of training (default: each run's own). draws: bootstrap resamples of videos (default 2000).
            paper: put the paper's published numbers beside.
            out: a file to write as well: .html (a page), .md or .json.
        Returns: figures with intervals, differences with intervals, p and verdict, all as fractions.
        """
        from synvita.api.compare import compare_runs, question

        way_out = "a run folder, as text, pathlib.Path or Run"
        runs = [
            o.folder if isinstance(o, Run) else arguments.path(f"others[{i}]", o, way_out) for i, o in enumerate(others)
        ]
        file = None if out is None else arguments.path("out", out, "a file, as text or pathlib.Path")
        every = [self.folder, *runs]
        asked = question(every, arms, models, tasks, reference, seed, draws)
        return compare_runs(every, asked, arguments.flag("paper", paper), file)

    def status(self) -> dict[str, str]:
        """Stage, part or arm -> what is there, what is missing, what was set aside."""
        return inventory.states(self.folder, self.config("status"))


def known_recipe(name: Any) -> str:
    recipe(arguments.text("recipe", name, "a recipe's name; synvita.known.recipes() lists them"))
    return str(name)
