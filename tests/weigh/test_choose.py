"""Best of N: which clip stands for a triplet, against a naive loop; what is recorded and what follows a change."""

import random
import sys

import pytest
import yaml

from synvita.cli import main
from synvita.core.artefacts import read_clips, read_scores
from synvita.core.chosen import ChosenClip, judges_that_weigh, read_chosen
from synvita.core.identity import Digests
from synvita.core.links import clip_links
from synvita.core.records import ClipWeight, Misalignment, Triplet
from synvita.core.set_aside import read_set_aside, set_aside
from synvita.core.store import read_records, write_records
from synvita.recipes import recipe
from synvita.train.arms import Arm
from synvita.train.examples import join, weights_for
from synvita.weigh.choose import choose

OWN = '''
import numpy as np

class Painter:
    """A grey that the seed decides."""
    def describe(self):
        return {"revision": "1", "fps": 4}

    def generate(self, captions, seeds):
        return [self.video(20 + 5 * (seed % 40)) for seed in seeds]

    def video(self, grey):
        return np.stack([np.full((16, 16, 3), grey + 2 * i, np.uint8) for i in range(4)])

class Company(Painter):
    """A clip depends on what shares its batch, as rounding makes real ones."""
    def generate(self, captions, seeds):
        return [self.video(20 + (seed + sum(seeds)) % 200) for seed in seeds]

class Bright:
    """Likes what is bright."""
    looks_at = None
    refused = set()

    def score(self, clip, captions):
        grey = (20 + 5 * (clip.seed % 40)) / 255
        return [float("nan") if clip.clip_id in self.refused else self.of(grey, caption) for caption in captions]

    def of(self, grey, caption):
        return grey * (0.5 if "real" in caption else 1)

class Dim(Bright):
    def of(self, grey, caption):
        return (1 - grey) / (2 if "real" in caption else 1)

class Even(Bright):
    def of(self, grey, caption):
        return 0.5
'''
TRIPLETS = [Triplet(f"t{i}", "v.mp4", f"real {i}", f"negative {i % 5}", Misalignment.ACTION) for i in range(6)]
PAINTER, JUDGE, WEIGHER = "choosers:Painter", "choosers:Bright", "choosers:Dim"


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "choosers.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    import choosers

    yield choosers
    sys.modules.pop("choosers", None)


@pytest.fixture
def run(tmp_path, own):
    return begin(tmp_path / "run")


def begin(folder):
    write_records(folder / "triplets.jsonl", TRIPLETS)
    settings = recipe("own_triplets").as_dict()
    settings["weigh"] |= {"scorers": [WEIGHER]}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


def generate(run, *flags):
    return main(["generate", "--run", str(run), "--generators", PAINTER, *flags])


def weigh(run, *flags):
    return main(["weigh", "--run", str(run), *flags])


def best(run, judge=JUDGE):
    return weigh(run, "--select", "best", "--judge", judge)


def weights(run, name="Dim-difference"):
    return read_records(run / "weights" / f"{name}.jsonl", ClipWeight)


# ---- the choice


@pytest.mark.parametrize("seed", range(20))
def test_the_choice_is_that_of_a_loop_over_each_triplets_clips_and_of_equal_scores_the_first(seed):
    draw = random.Random(seed)
    links = [(f"t{t}", f"c{t}-{g}-{i}") for t in range(4) for g in "ab" for i in range(draw.randint(1, 5))]
    generator_of = {clip: clip.split("-")[1] for _, clip in links}
    scores = [draw.choice([0.0, 0.3, 0.3, 1.0]) for _ in links]
    naive = {}
    for (triplet, clip), score in zip(links, scores, strict=True):
        key = (triplet, generator_of[clip])
        if key not in naive or score > naive[key][1]:
            naive[key] = (clip, score)
    chosen = choose(links, generator_of, scores, ["judge"])
    assert {(c.triplet_id, c.generator): (c.clip_id, c.scores[c.clip_id]) for c in chosen} == naive
    assert sorted(clip for c in chosen for clip in c.scores) == sorted(clip for _, clip in links)


def test_one_clip_per_triplet_is_weighed_and_all_stay_with_the_judges_scores(run, capsys):
    assert generate(run, "--best-of", "4") == 0 and best(run) == 0
    assert "weigh: 6 weights, 0 without_clip, 0 set_aside, 18 not_chosen\n" in capsys.readouterr().out
    clips = read_clips(run)
    assert len(clips) == 20 and all((run / clip.file).exists() for clip in clips.values())  # five captions
    assert len({clip.file for clip in clips.values()}) == len({clip.seed for clip in clips.values()}) == 20
    chosen = read_chosen(run)
    judged = {(s.clip_id, s.caption): s.score for s in read_scores(run) if s.scorer == JUDGE}
    for one, triplet in zip(chosen, TRIPLETS, strict=True):
        mine = {name: judged[name, clip.caption] for name, clip in clips.items()
                if clip.caption == triplet.negative_caption}  # fmt: skip
        assert one.scores == mine and len(mine) == 4 and one.judge == [JUDGE]
        assert mine[one.clip_id] == max(mine.values())
    assert [(w.triplet_id, w.clip_id) for w in weights(run)] == [(c.triplet_id, c.clip_id) for c in chosen]
    found = join(run, Arm("learned"))
    assert found.clips == 5 and not found.missing


def test_generators_are_chosen_for_apart(run):
    assert generate(run, "--best-of", "3") == 0
    assert main(["generate", "--run", str(run), "--generators", "other", "--generators.other",
                 f"{{use: '{PAINTER}'}}"]) == 0  # fmt: skip
    assert best(run) == 0
    found = read_chosen(run)
    assert len(found) == 12 and {len(one.scores) for one in found if one.generator == "Painter"} == {3}
    assert len(weights(run)) == 12


# ---- one clip after the other, and again


def test_more_clips_come_beside_those_that_are_there_which_keep_their_bytes(tmp_path, own):
    """Batches of three: a clip's batch may not depend on how many clips its caption has."""
    at_once, grown = begin(tmp_path / "at_once"), begin(tmp_path / "grown")
    batch = ["--generators.mine", "{use: 'choosers:Company', batch: 3}"]
    for run, numbers in ((at_once, ["4"]), (grown, ["1", "2", "4"])):
        for number in numbers:
            assert main(["generate", "--run", str(run), "--generators", "mine", *batch, "--best-of", number]) == 0
    for name in ("clip_of_triplet.jsonl", "clips/mine/clips.jsonl", "clips/mine/stamp.json"):
        assert (at_once / name).read_bytes() == (grown / name).read_bytes()
    digests = Digests(grown)
    assert all(digests.of(clip.file) == clip.digest for clip in read_clips(grown).values())


def test_a_plain_call_later_makes_as_many_and_a_smaller_number_links_the_first(run, capsys):
    assert generate(run, "--best-of", "3") == 0
    clips = sorted(read_clips(run).values(), key=lambda clip: clip.file)
    (run / clips[0].file).unlink()
    capsys.readouterr()
    assert generate(run) == 0 and "15 clips, 1 made, 14 kept" in capsys.readouterr().out
    assert generate(run, "--best-of", "1") == 0 and len(read_clips(run)) == 15
    assert weigh(run) == 0 and len(weights(run)) == 6


def test_two_processes_and_shards_leave_the_bytes_of_one(tmp_path, own):
    alone, shards, pool = (begin(tmp_path / name) for name in ("alone", "shards", "pool"))
    assert generate(alone, "--best-of", "3") == 0
    assert generate(pool, "--best-of", "3", "--workers", "2") == 0
    for shard in ("1/2", "2/2"):
        assert generate(shards, "--best-of", "3", "--shard", shard) == 0
    assert main(["merge", "--run", str(shards)]) == 0
    assert best(alone) == best(pool) == 0
    for shard in ("2/2", "1/2"):
        assert weigh(shards, "--select", "best", "--judge", JUDGE, "--shard", shard) == 0
    assert not (shards / "chosen_clips.jsonl").exists() and main(["merge", "--run", str(shards)]) == 0
    names = ("clip_of_triplet.jsonl", "clips/Painter/clips.jsonl", "chosen_clips.jsonl", "weights/Dim-difference.jsonl")
    for name in names:
        assert (alone / name).read_bytes() == (shards / name).read_bytes() == (pool / name).read_bytes()


def test_a_dry_run_counts_every_clip(run, capsys):
    assert generate(run, "--dry-run", "--best-of", "7") == 0
    assert "35 clips to make, 0 there" in capsys.readouterr().out and not (run / "clips").exists()


# ---- what changes


def test_another_judge_or_none_makes_the_weights_anew_and_nothing_stale_stays(run):
    assert generate(run, "--best-of", "4") == 0
    assert best(run) == 0 and weigh(run, "--scorers", "choosers:Even") == 0
    first = {one.triplet_id: one.clip_id for one in read_chosen(run)}
    assert (run / "weights/Even-difference.jsonl").exists()
    assert best(run, "choosers:Even") == 0
    second = {one.triplet_id: one.clip_id for one in read_chosen(run)}
    assert second != first and not (run / "weights/Even-difference.jsonl").exists()
    assert second["t0"] == clip_links(run)["t0"][0]  # it cannot tell, so the first seed's clip stands
    assert weigh(run, "--select", "all") == 0
    assert not (run / "chosen_clips.jsonl").exists() and len(weights(run)) == 24


def test_a_choice_that_was_edited_or_judged_anew_is_refused_by_training(run):
    assert generate(run, "--best-of", "2") == 0 and best(run) == 0
    weights_for(run, Arm("learned"))
    rows = read_chosen(run)
    other = rows[0].others[0]
    edited = ChosenClip("t0", "Painter", other, rows[0].judge, rows[0].scores)
    write_records(run / "chosen_clips.jsonl", [edited, *rows[1:]])
    with pytest.raises(ValueError, match=r"chosen_clips\.jsonl has changed since; once more: synvita weigh"):
        weights_for(run, Arm("learned"))


def test_a_clip_that_the_judge_set_aside_is_no_candidate_and_is_counted(run, own, monkeypatch, capsys):
    assert generate(run, "--best-of", "3") == 0
    assert best(run) == 0
    winner = read_chosen(run)[1]
    for path in run.glob("scores/*/scores.jsonl"):
        path.unlink()
    monkeypatch.setattr(own.Bright, "refused", {winner.clip_id})
    capsys.readouterr()
    assert best(run) == 3 and "1 set_aside, 11 not_chosen" in capsys.readouterr().out
    second = read_chosen(run)[1]
    expected = max((score, clip) for clip, score in winner.scores.items() if clip != winner.clip_id)[1]
    assert second.clip_id == expected and winner.clip_id not in second.scores


def test_a_score_that_is_missing_is_named_with_the_way_out(run):
    from synvita.weigh.config import WeighConfig
    from synvita.weigh.weigh import weigh as weigh_files

    assert generate(run, "--best-of", "2") == 0 and best(run) == 0
    path = run / "scores/Bright/scores.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if "negative 3" not in line))
    with pytest.raises(ValueError, match=r"no score for clip \w+ with caption 'negative 3'; once more: synvita weigh"):
        weigh_files(run, WeighConfig((WEIGHER,), oracle=False, judge=JUDGE))


def test_clips_that_were_made_after_the_choice_are_told_of_and_passed_over_ones_are_not(run):
    from synvita.weigh.weigh import unweighed

    assert generate(run, "--best-of", "2") == 0 and best(run) == 0
    assert unweighed(run, weights(run)) == 0
    assert generate(run, "--best-of", "3") == 0
    assert unweighed(run, weights(run)) == 5


def test_a_judge_that_weighs_is_warned_of(run, capsys):
    assert generate(run, "--best-of", "2") == 0 and best(run) == 0
    assert "chose the clips" not in capsys.readouterr().err and judges_that_weigh(run) == {}
    assert best(run, WEIGHER) == 0
    assert f"note: {WEIGHER} chose the clips that {WEIGHER} weighs" in capsys.readouterr().err
    assert judges_that_weigh(run) == {WEIGHER: [WEIGHER]}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--select", "best"], "--select best: nobody chooses; give --judge"),
        (["--judge", JUDGE], f"--judge: {JUDGE} chooses nothing; give --select best, too"),
        (["--select", "best", "--judge", "lava"], "--weigh.judge: unknown 'lava'; did you mean 'llava'?"),
        (["--select", "best", "--judge", "llava+"], "--weigh.judge: '' cannot be a folder's name"),
    ],
)
def test_a_judge_that_cannot_be_is_one_line(run, capsys, flags, message):
    assert weigh(run, *flags) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not read_set_aside(run)


def test_numbers_of_clips_that_cannot_be_are_one_line(run, capsys):
    assert generate(run, "--best-of", "1001") == 2
    assert "--generate.best-of: 1001 clips of each caption; give 1 to 1000" in capsys.readouterr().err


def test_set_aside_candidates_leave_a_triplet_without_a_clip(run):
    from synvita.weigh.config import WeighConfig
    from synvita.weigh.weigh import weigh as weigh_files

    assert generate(run, "--best-of", "2") == 0 and best(run) == 0
    gone = {clip: "cannot be read" for clip in read_chosen(run)[1].scores}
    set_aside(run, "weigh scores/Bright", gone)
    counts = weigh_files(run, WeighConfig((WEIGHER,), oracle=False, judge=JUDGE))
    assert counts == {"weights": 5, "without_clip": 0, "set_aside": 2, "not_chosen": 5}
