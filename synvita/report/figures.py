"""The page's figures as inline SVG: text stays text, the same numbers give the same bytes, nothing is fetched.

Backgrounds are transparent and lines mid-grey, so one drawing serves a light and a dark page.
"""

from __future__ import annotations

import html
import io
import math
import re
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from synvita.core.vocabulary import BASELINE, METHOD, ORACLE_ARM, UNTRAINED

ARM_COLORS = {
    UNTRAINED: "#9a9fa6",
    BASELINE: "#4477aa",
    "uniform": "#e0697a",
    "weighted": "#c9a227",
    METHOD: "#2a9348",
    "weighted_video": "#e3c566",
    "synvita_video": "#5dbb78",
    ORACLE_ARM: "#a05195",
}
OTHER_COLORS = ("#66aacc", "#b5651d", "#6b6ecf", "#8c6d31")
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


def arm_color(arm: str, position: int) -> str:
    return ARM_COLORS.get(arm, OTHER_COLORS[position % len(OTHER_COLORS)])


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


def arm_bars(groups: list[tuple[str, dict[str, dict[str, Any]]]], arms: list[str]) -> str:
    """Bars of AUC by group and arm, error bars = intervals.

    Args:
        groups: (name on the axis, {arm: {"auc", "low", "high"}}), fractions; an arm may lack a group.
        arms: the order of the bars.
    """
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": "synvita-arms"}):
        figure, axes = new_axes(9.5, 4.0)
        width = 0.84 / max(1, len(arms))
        lowest = 50.0
        for i, arm in enumerate(arms):
            at = [g for g, (_, cells) in enumerate(groups) if usable(cells.get(arm))]
            cells = [groups[g][1][arm] for g in at]
            heights = [100 * c["auc"] for c in cells]
            below = [max(0.0, 100 * (c["auc"] - c["low"])) for c in cells]
            above = [max(0.0, 100 * (c["high"] - c["auc"])) for c in cells]
            lowest = min([lowest, *(100 * c["low"] for c in cells)])
            places = [g + (i - (len(arms) - 1) / 2) * width for g in at]
            axes.bar(places, heights, width * 0.92, color=arm_color(arm, i), label=arm)
            axes.errorbar(places, heights, [below, above], fmt="none", ecolor="#777b80", elinewidth=1.1, capsize=2)
        axes.axhline(50, color=LINE, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_xticks(range(len(groups)), [name for name, _ in groups])
        axes.set_ylim(max(0, math.floor(lowest / 10) * 10 - (0 if lowest < 50 else 10)), 100)
        axes.set_ylabel("AUC (percent)")
        figure.legend(loc="outside upper center", ncols=min(6, max(1, len(arms))))
        return as_svg(figure, "arms", "Bar chart: AUC in percent of each arm by test set, with intervals")


def usable(cell: dict[str, Any] | None) -> bool:
    """Whether there is a bar and an interval to draw."""
    return cell is not None and all(cell.get(key) is not None for key in ("auc", "low", "high"))


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
            axes.annotate(f"{mean:+.2f}", (place, mean), xytext=(9, 0), textcoords="offset points", va="center")
        axes.axhline(0, color=LINE, linewidth=1.0)
        names = [f"{kind}\n({len(entry['values'])} clips)" for kind, entry in differences.items()]
        axes.set_xticks(range(1, len(names) + 1), names)
        axes.set_ylabel("own caption minus real caption")
        return as_svg(figure, "differences", "Box plot: score differences of the synthetic clips by misalignment type")
