"""What `python -m build` makes, installed where nothing of the checkout is; and the page that an index shows."""

import email
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("synvita", "docs", "examples")
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "CONTRIBUTING.md")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def index_page(text, site):
    """Of setup.py, which sets nothing up when it is imported."""
    spec = importlib.util.spec_from_file_location("synvita_setup", ROOT / "setup.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.index_page(text, site)


def test_an_index_page_has_no_relative_address_and_with_a_site_every_image():
    readme = (ROOT / "README.md").read_text()
    plain, with_site = index_page(readme, ""), index_page(readme, "https://example.org/raw/")
    for text in (plain, with_site):
        assert [target for target in LINK.findall(text) if not target.startswith(("https://", "#"))] == []
    images = re.findall(r"!\[[^]]*\]\(([^)]+)\)", readme)
    assert len(images) >= 3 and "![" not in plain
    for image in images:
        assert (ROOT / image).is_file() and f"(https://example.org/raw/{image})" in with_site
    assert "make demo" in plain and "[all of it]" not in plain and "all of it" in plain


def test_what_the_package_says_of_itself_is_known_to_an_index():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "Typing :: Typed" in project["classifiers"] and len(project["keywords"]) > 5
    assert not any(text.startswith("License ::") for text in project["classifiers"])  # the license field says it
    versions = {text.rsplit(" ", 1)[1] for text in project["classifiers"] if ":: 3." in text}
    assert versions == {"3.11", "3.12", "3.13"} and project["requires-python"] == ">=3.11,<3.14"
    assert set(project["urls"].values()) == {"https://arxiv.org/abs/2503.18507"}


def test_the_site_has_every_page_of_docs_once():
    listed = re.findall(r"(\w+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(["index.md", *(page.name for page in (ROOT / "docs").glob("*.md"))])


def test_the_image_copies_only_what_is_there():
    lines = [line.split() for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY ")]
    sources = [name for _, *names, _ in lines for name in names]
    assert {"pyproject.toml", "setup.py", "synvita"} <= set(sources)
    assert [name for name in sources if not (ROOT / name).exists()] == []


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """sdist and wheel of a copy of the checkout, the wheel made from the sdist."""
    source = tmp_path_factory.mktemp("source")
    for part in PARTS:
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (*FILES, "Makefile", "constraints.txt"):
        shutil.copy(ROOT / file, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(source / "dist"), str(source)]
    made = subprocess.run(command, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    return source / "dist"


@pytest.mark.slow  # 30 s
def test_the_wheel_holds_the_package_with_its_checkpoints_and_the_sdist_docs_and_examples(dist):
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = {p.relative_to(ROOT).as_posix() for p in (ROOT / "synvita").rglob("*") if p.is_file()}
    assert {name for name in tracked if "__pycache__" not in name} <= names
    assert {"synvita/py.typed", "synvita/world/checkpoints/mini-video-llava/model.safetensors"} <= names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"synvita"}
    metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
    page = email.message_from_bytes(zipfile.ZipFile(wheel).read(metadata))
    assert page["Description-Content-Type"] == "text/markdown" and "Does this caption fit" in page.get_payload()
    with tarfile.open(sdist) as archive:
        held = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"examples/triplets.csv", "docs/api.md", "docs/images/arms.png", "CHANGELOG.md", "LICENSE"} <= held


@pytest.mark.slow  # 20 s more
def test_the_installed_wheel_works_without_the_checkout(dist, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    python, (wheel,) = bare / "bin" / "python", dist.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*pip, str(wheel)], check=True)
    (site,) = bare.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")  # what the wheel depends on

    def run(*command):
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "triplets -> generate -> weigh -> train -> evaluate -> report" in run(bare / "bin" / "synvita", "--help")
    assert run(python, "-c", "import synvita; print(synvita.__file__)").strip().startswith(str(site))
    video, caption = ROOT / "examples" / "videos" / "7.mp4", "a large red triangle moving up"
    out = run(bare / "bin" / "synvita", "score", str(video), caption, "--model", "mini-video-llava")
    assert caption in out
    assert run(python, "-c", "import synvita; print(synvita.known.models())").count("mini-video-llava") >= 1
