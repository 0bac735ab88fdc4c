"""What pyproject.toml cannot say: the README as a package index shows it, where relative addresses lead nowhere.

SYNVITA_SITE=https://... (where the repository's files can be fetched) makes them absolute. Without it images are left
out and links become their text.
"""

import os
import re
from pathlib import Path

from setuptools import setup

RELATIVE = re.compile(r"(!?)\[([^]]*)\]\((?!https?://|#)([^)]+)\)")


def index_page(text: str, site: str) -> str:
    """Markdown whose links and images work anywhere. `site`: an address, or empty."""

    def replaced(found: re.Match[str]) -> str:
        image, words, target = found.groups()
        if site:
            return f"{image}[{words}]({site.rstrip('/')}/{target})"
        return "" if image else words

    return RELATIVE.sub(replaced, text)


if __name__ == "__main__":
    readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    setup(
        long_description=index_page(readme, os.environ.get("SYNVITA_SITE", "")),
        long_description_content_type="text/markdown",
    )
