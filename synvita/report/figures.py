"""The page's figures as inline SVG: text stays text, the same numbers give the same bytes, nothing is fetched.

Backgrounds are transparent and lines mid-grey, so one drawing serves a light and a dark page.
"""

from __future__ import annotations

import html
import io
import re
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from synvita.report.table import number

LINE = "#85888c"
STYLE: Any = {  # matplotlib's stubs want a Literal of every key
    "svg.fonttype": "none",  # text stays text: small, searchable, in the page's colour
    "text.parse_math": False,  # a `$` in a name is a character
    "font.size": 10,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": "black",  # matplotlib leaves black out of the SVG, so the page's CSS decides
    "ytick.labelcolor": "black",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.alpha": 0.25,
    "legend.frameon": False,
}


def as_svg(figure: Figure, name: str, label: str) -> str:
    """An `<svg>` element for an HTML page: no XML head, no date, ids that no other figure on the page has."""
    out = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)  # implied in HTML; and no address is left on the page
    text = re.sub(r'\sid="', f' id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text).replace("url(#", f"url(#{name}-")
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'<svg([^>]*?) width="[^"]*"', r"<svg\1", text, count=1)  # the page sets the width, viewBox the shape
    text = re.sub(r'<svg([^>]*?) height="[^"]*"', r"<svg\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(label)}"', 1)


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.tick_params(axis="x", length=0)
    return figure, axes


def difference_boxes(differences: dict[str, dict[str, Any]]) -> str:
    """Figure 2: per misalignment type a box of the score differences (middle half, whiskers 5 to 95 percent, mean)."""
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "synvita-differences"}):
        figure, axes = new_axes(9.5, 3.8)
        values = [entry["values"] for entry in differences.values()]
        box = axes.boxplot(values, whis=(5, 95), showfliers=False, widths=0.55, patch_artist=True)
        for patch in box["boxes"]:
            patch.set(facecolor="#4477aa55", edgecolor="#4477aa", linewidth=1.0)
        for part in ("whiskers", "caps", "medians"):
            for line in box[part]:
                line.set(color="#4477aa", linewidth=1.6 if part == "medians" else 1.0)
        means = [entry["mean"] for entry in differences.values()]
        axes.plot(range(1, len(means) + 1), means, linestyle="none", marker="D", color="#d1495b", markersize=6)
        for place, mean in enumerate(means, 1):
            axes.annotate(
                number(mean, 2, sign=True), (place, mean), xytext=(9, 0), textcoords="offset points", va="center"
            )
        axes.axhline(0, color=LINE, linewidth=1.0)
        names = [f"{kind}\n({len(entry['values'])} clips)" for kind, entry in differences.items()]
        axes.set_xticks(range(1, len(names) + 1), names)
        axes.set_ylabel("own caption minus real caption")
        return as_svg(figure, "differences", "Box plot: score differences of the synthetic clips by misalignment type")
