"""A small finished run that several tests look at, made once per session."""

import os
from pathlib import Path

import pytest
import torch
from small import SMALL
from tiny_models import (  # noqa: F401 - fixtures
    hf_folder,
    languagebind_folder,
    media,
    model,
    mplug_owl_folder,
    official_folder,
    pieces,
    videos,
)

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> Path:
    """`synvita demo` with few triplets and one epoch: every stage, real parts, numbers that mean little."""
    from synvita.cli import main

    run = tmp_path_factory.mktemp("small") / "run"
    assert main(["demo", "--run", str(run), *SMALL]) == 0
    return run


@pytest.fixture(scope="session")
def checkpoints() -> Path:
    """The folder of the shipped tiny checkpoints."""
    import synvita.world

    return Path(synvita.world.__file__).parent / "checkpoints"
