"""A small finished run that several tests look at, made once per session."""

import os
import shutil
from pathlib import Path

import pytest
import torch
from filelock import FileLock
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
    """`synvita demo` with few triplets and one epoch: every stage, real parts, numbers that mean little.

    Test processes of one session (pytest -n) share it: the first one makes it, the others wait.
    """
    from synvita.cli import main

    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent
    run = base / "small_run"
    with FileLock(base / "small_run.lock"):
        if not (run / "results.json").exists():
            shutil.rmtree(run, ignore_errors=True)
            assert main(["demo", "--run", str(run), *SMALL, "--workers", "1"]) == 0
    return run


@pytest.fixture
def nothing_loaded():
    """No model is kept from one test's questions to another's: they patch its parts."""
    from synvita.evaluate import ask

    ask.loaded.key = ()
    yield
    ask.loaded.key = ()


@pytest.fixture(scope="session")
def checkpoints() -> Path:
    """The folder of the shipped tiny checkpoints."""
    import synvita.world

    return Path(synvita.world.__file__).parent / "checkpoints"
