"""A run folder's clips, scores and weights for tests: written by hand, or made by the stages."""

from synvita.core.artefacts import TRUTH, clips_file, default_weights, scores_file, stamp_weights, weights_file
from synvita.core.names import folder_name
from synvita.core.records import Clip, ClipWeight, Triplet
from synvita.core.store import read_records, write_records
from synvita.core.write_video import write_video
from synvita.executors import local
from synvita.recipes import MINI_SCORERS as MINI


def write_clips(run, clips):
    for generator in {clip.generator for clip in clips}:
        write_records(clips_file(run, generator), [clip for clip in clips if clip.generator == generator])


def write_clip_run(run, videos, broken=3):
    """A triplet and a clip of these frames each, linked; one file is no video."""
    clips, triplets, links = [], [], []
    for i, frames in enumerate(videos):
        clip, triplet, caption = f"c{i:02}", f"t{i:02}", f"a red cross {i}"
        file = f"clips/made/{clip}.mp4"
        write_video(run / file, frames, 8)
        clips.append(Clip(clip, caption, "made", "1", {}, 0, file))
        triplets.append(Triplet(triplet, "v.mp4", f"a blue ring {i}", caption))
        links.append({"triplet_id": triplet, "clip_id": clip})
    (run / clips[broken].file).write_bytes(b"no video")
    write_records(run / "triplets.jsonl", triplets)
    write_clips(run, clips)
    write_records(run / "clip_of_triplet.jsonl", links)
    return run


def write_scores(run, scores):
    for scorer in {score.scorer for score in scores}:
        path = scores_file(run, folder_name(scorer, "scorer"))
        write_records(path, [score for score in scores if score.scorer == scorer])


def write_weights(run, rows):
    """A file per group of scorers and criterion; the first of them are what an arm uses that names none."""
    for path in (run / "weights").glob("*") if (run / "weights").exists() else ():
        path.unlink()
    files = {}
    for row in rows:
        files.setdefault((tuple(row.scorers), row.criterion), []).append(row)
    for (scorers, criterion), some in files.items():
        write_records(weights_file(run, scorers, criterion), some)
    learned = [key for key in files if key[0] != TRUTH] or list(files)
    stamp_weights(run, learned[0][0], list(dict.fromkeys(criterion for _, criterion in learned)))


def weight_rows(run):
    """All weights: the default's first, the oracle's last."""
    default = default_weights(run)
    rows = [r for path in sorted((run / "weights").glob("*.jsonl")) for r in read_records(path, ClipWeight)]

    def rank(row):
        scorers = tuple(row.scorers)
        order = default.criteria.index(row.criterion) if row.criterion in default.criteria else 99
        return (scorers == TRUTH, scorers != default.scorers, scorers, order)

    return sorted(rows, key=rank)


def generate(run, config, generators=()):
    """`synvita generate` without the command."""
    from synvita.generate.clips import MakeClips, generator_part, link

    stage = MakeClips(generator_part(config.generator, dict(generators)), config.seed, config.best_of)
    done = local.run(stage, run)
    link(run, stage)
    return {"made": done.made, "kept": done.kept, "set_aside": done.set_aside}


def score(run, config, scorers=MINI):
    """The scores that `synvita weigh` makes; how many clips each scorer set aside, at most."""
    from synvita.weigh.stage import ScoreClips, scorer_part

    stages = [ScoreClips(scorer_part(name, scorers), config.decode_timeout) for name in config.every]
    return max(local.run(stage, run).set_aside for stage in stages)
