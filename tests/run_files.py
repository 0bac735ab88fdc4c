"""A run folder's clips and scores for tests: written by hand, or made by the stages."""

from synvita.core.artefacts import clips_file, scores_file
from synvita.core.names import folder_name
from synvita.core.store import write_records
from synvita.executors import local


def write_clips(run, clips):
    for generator in {clip.generator for clip in clips}:
        write_records(clips_file(run, generator), [clip for clip in clips if clip.generator == generator])


def write_scores(run, scores):
    for scorer in {score.scorer for score in scores}:
        path = scores_file(run, folder_name(scorer, "scorer"))
        write_records(path, [score for score in scores if score.scorer == scorer])


def generate(run, config):
    """`synvita generate` without the command."""
    from synvita.generate.clips import MakeClips, link

    stage = MakeClips(config)
    done = local.run(stage, run)
    link(run, stage)
    return {"made": done.made, "kept": done.kept, "set_aside": done.set_aside}


def score(run, config):
    """The scores that `synvita weigh` makes; how many clips each scorer set aside, at most."""
    from synvita.weigh.stage import ScoreClips

    return max(local.run(ScoreClips(config, name), run).set_aside for name in config.every)
