"""mkdocs hooks: the README is the site's first page, and files outside docs/ are named instead of linked."""

import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(?<!!)\[([^]]*)\]\((\.\./[^)]+|(?:synvita|examples|benchmarks|tests)/[^)]+)\)")


def on_files(files, config):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=re.sub(r"\]\(docs/", "](", readme)))
    return files


def on_page_markdown(markdown, page, config, files):
    """There is no address to link source files to, so a link becomes its words."""
    return LINK.sub(r"\1", markdown)
