"""Arms are trained and asked: one after the other in this process, or several in processes beside it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from synvita.arms.left import EVERYTHING, Do, Model, arm_work, asking
from synvita.children import DONE, FROM_STDIN, Children
from synvita.core.artefacts import check_clips, read_clips
from synvita.core.chosen import read_chosen
from synvita.core.pool import in_processes
from synvita.core.progress import progress, tick_parent
from synvita.core.run_folder import again, need, only_one
from synvita.core.stage import claim_folder
from synvita.core.store import read_records
from synvita.core.vocabulary import UNTRAINED
from synvita.publish.card import write_card
from synvita.recipes import RunConfig
from synvita.train.config import TrainConfig
from synvita.train.examples import weights_for
from synvita.videollm.visual import Cache
from synvita.weigh.weigh import unweighed

Tick = Callable[..., None]
WORTH_A_PROCESS, CHUNK = 200, 32  # videos: a process imports for seconds; how many it gets at a time


def do_arm(
    run: Path, config: RunConfig, arm: str, seed: int, do: Do = EVERYTHING, tick: Tick = lambda *_: None
) -> None:
    """Train an arm (unless it is the untrained one) and ask it; what is there is kept."""
    from synvita.executors import local
    from synvita.train.loop import train_arm

    first = not int(os.environ.get("RANK", "0"))  # several processes train, one writes and asks
    if do.train and arm != UNTRAINED:
        claim_folder(run, Model.of(config.train))
        folder = train_arm(run, arm, config.train.arms[arm], config.train, seed, tick)
        if first:
            write_card(folder)
    if not do.ask or not first:
        return
    for stage in asking(run, config, arm, seed, do.tasks):
        local.run(stage, run, tick=per_batch(tick, stage.batch))


def per_batch(tick: Tick, size: int) -> Tick:
    """Ticks for the first item of every `size`."""
    count = 0

    def item(*_: str) -> None:
        nonlocal count
        if count % size == 0:
            tick()
        count += 1

    return item


def arms_of_a_parent(run: Path, config: RunConfig, arm: str, seed: int, do: Do) -> None:
    """What `run_arms` starts: one arm, or each arm that stands on standard input, one a line.

    Each tick is a line on standard output, and so is DONE behind an arm.
    """
    for line in sys.stdin if arm == FROM_STDIN else [arm]:
        with only_one(run, lock_of(config, line.strip(), seed)):
            do_arm(run, config, line.strip(), seed, do, tick_parent)
        sys.stdout.write(f"{DONE}\n")
        sys.stdout.flush()


def lock_of(config: RunConfig, arm: str, seed: int) -> str:
    return f"{config.train.home}-{arm}-{seed}"


def run_arms(
    run: Path,
    config: RunConfig,
    seed: int,
    workers: int,
    processes: int = 1,
    only: Sequence[str] | None = None,
    do: Do = EVERYTHING,
    model: str | None = None,
) -> None:
    """Every arm (or `only` some), `workers` at a time. Stops at the first failure.

    On a CPU each has one thread. One worker is this process; more are processes beside it. `processes`: how many train
    one arm together (accelerate launch). `model`: what `config` is of (`RunConfig.of_model`).
    """
    names = [arm for arm in slowest_first(config) if only is None or arm in only]
    if do.train:
        check_weights(run, config, names)
    work = {arm: arm_work(run, config, arm, seed, do) for arm in names}
    names = [arm for arm in names if work[arm]]
    if not names:
        return
    claim_folder(run, Model.of(config.train))
    fill_cache(run, config, do, workers)
    verbs = " + ".join(verb for verb, wanted in (("train", do.train), ("ask", do.ask)) if wanted)
    workers = min(workers, len(names))
    with progress(f"{verbs} {len(names)} arms", sum(work.values())) as tick:
        if workers == processes == 1:
            arms_here(run, config, names, seed, do, tick)
        else:
            arguments = ["--run", str(run), "--seed", str(seed), *do.flags]
            arguments += [] if model is None else ["--model", model]
            arms_beside(run, config, names, arguments, workers, processes, tick)


def arms_here(run: Path, config: RunConfig, names: Sequence[str], seed: int, do: Do, tick: Tick) -> None:
    """One arm after the other in this process: starting another costs seconds of imports."""
    import torch

    threads = torch.get_num_threads()
    try:
        if config.train.device == "cpu":
            torch.set_num_threads(1)
        for arm in names:
            with only_one(run, lock_of(config, arm, seed)):
                do_arm(run, config, arm, seed, do, partial(tick_arm, tick, arm))
    except (ValueError, FloatingPointError) as error:
        raise ValueError(f"arm {arm!r}: {error}; the others are kept, run again to go on") from error
    finally:
        torch.set_num_threads(threads)


def tick_arm(tick: Tick, arm: str, text: str = "") -> None:
    tick(f"{arm}: {text}" if text else "")


def arms_beside(
    run: Path,
    config: RunConfig,
    names: Sequence[str],
    arguments: Sequence[str],
    workers: int,
    processes: int,
    tick: Tick,
) -> None:
    """`workers` arms at a time, each in a process beside this one. `arguments`: of `synvita arm`."""
    threads = {"OMP_NUM_THREADS": "1"} if config.train.device == "cpu" else {}
    with ThreadPoolExecutor(workers) as pool:
        children = Children(arguments, names, partial(tick_arm, tick), processes, threads)
        try:
            places = places_of(config.train, workers, processes)
            for worker in [pool.submit(children.work, place) for place in places]:
                worker.result()
        except BaseException:
            children.failed.append("interrupted")
            raise
        finally:
            children.stop()
    if children.failed:
        text = f"arm {children.failed[0]!r} failed (see above); the others are kept, run again to go on"
        raise ValueError(f"--run: {run}: {text}")


def places_of(train: TrainConfig, workers: int, processes: int = 1) -> list[dict[str, str]]:
    """An environment for each worker: a GPU of its own, in turn if there are fewer, where each has one process."""
    from synvita.executors.local import VISIBLE, gpus

    known = gpus() if train.device == "cuda" and processes == 1 else []
    return [{VISIBLE: known[i % len(known)]} if known else {} for i in range(workers)]


def slowest_first(config: RunConfig) -> list[str]:
    """So that no long one is left when the others have ended."""
    cost = {name: (arm.weights != "none", arm.consistency_weight > 0) for name, arm in config.train.arms.items()}
    return [*sorted(cost, key=lambda name: cost[name], reverse=True), UNTRAINED]


def check_weights(run: Path, config: RunConfig, names: Sequence[str]) -> None:
    """ValueError: an arm's weights are not there. A note: clips that were made after the weights."""
    triplets = need(run, "triplets.jsonl", "triplets make")
    arms = [config.train.arms[name] for name in names if name != UNTRAINED]
    if not triplets.stat().st_size or all(arm.weights == "none" for arm in arms):
        return
    check_clips(run, read_clips(run).values())
    rows = [row for arm in arms for row in weights_for(run, arm)[0]]
    if number := unweighed(run, rows):
        sys.stderr.write(f"note: {number} clips have no weights, so no arm uses them; {again('weigh', run)}\n")


def videos_of(run: Path, do: Do) -> list[str]:
    """Those that training or asking looks at, each once."""
    from synvita.core.records import Item, Triplet
    from synvita.evaluate.tasks import tasks as tasks_of

    videos: list[str] = []
    if do.train:
        videos += [t.video for t in read_records(run / "triplets.jsonl", Triplet) if t.split == "train"]
        passed_over = {clip for one in read_chosen(run) for clip in one.others}  # no arm uses them
        videos += [clip.file for name, clip in read_clips(run).items() if name not in passed_over]
        if (run / "items.jsonl").exists():
            for item in read_records(run / "items.jsonl", Item):
                videos += [item.video, *(video for video, _ in item.clips)]
    if do.ask:
        videos += [row["video"] for rows in tasks_of(run, do.tasks).values() for row in rows]
    return list(dict.fromkeys(videos))


def fill_cache(run: Path, config: RunConfig, do: Do, workers: int) -> None:
    """Visual features of all videos once, before arms in parallel would each compute them; on a CPU in as many
    processes as there will be arms."""
    train, videos = config.train, videos_of(run, do)
    many = workers if train.device == "cpu" and len(videos) > WORTH_A_PROCESS * workers else 1
    parts = [videos[at : at + CHUNK] for at in range(0, len(videos), CHUNK)]
    cache = Cache(train.model, train.loading(), run / "cache", run, train.decode_timeout, train.cache_gb)
    with only_one(run, "cache"), progress("visual features, once per video", len(videos)) as tick:
        if many == 1:
            cache.fill(videos, tick)
            cache.close()
        else:
            for number, _ in in_processes(cache.fill, ((len(part), (part,)) for part in parts), many):
                for _ in range(number):
                    tick()
    sys.stderr.write(f"visual cache: {cache.size() / 1e9:.2f} of {train.cache_gb:g} GB in {cache.folder}\n")
