"""What the app shows of explained captions, as HTML: best first, words in the colour of what they carry."""

from __future__ import annotations

import html
from collections.abc import Sequence

import torch

from synvita.app.words import Explained, Word
from synvita.core import alignment as core

STYLE = """<style>
.synvita { border-collapse: collapse; width: 100%; }
.synvita td { padding: .6rem .8rem; border-top: 1px solid #8884; vertical-align: middle; }
.synvita .score { font-variant-numeric: tabular-nums; white-space: nowrap; width: 9rem; }
.synvita .bar { height: .4rem; background: #8883; border-radius: 9px; overflow: hidden; }
.synvita .bar i { display: block; height: 100%; background: #2c5f95; }
.synvita td:last-child { line-height: 1.9; }
.synvita span { border-radius: 4px; padding: .1rem .25rem; }
.synvita-error { color: #b3261e; font-weight: 600; }
</style>"""
FITS, MISFITS = "20, 116, 58", "179, 38, 30"  # red, green, blue
STRONGEST = 0.75  # opacity of the word that carries most


def alignment(log_odds: float) -> float:
    """Eq. 1, of one number."""
    return float(core.alignment(torch.tensor(log_odds, dtype=torch.float64)))


def table(explained: Sequence[Explained]) -> str:
    """Rows from the best fit to the worst. Captions are text, never markup."""
    most = max((abs(word.carries) for one in explained for word in one.words if word.carries is not None), default=0.0)
    rows = "".join(row(one, most) for one in sorted(explained, key=lambda one: -one.log_odds))
    return f'{STYLE}<table class="synvita"><tbody>{rows}</tbody></table>'


def row(one: Explained, most: float) -> str:
    score = alignment(one.log_odds)
    bar = f'<div class="bar"><i style="width:{100 * score:.1f}%"></i></div>'
    words = " ".join(marked(word, most) for word in one.words)
    return f'<tr><td class="score"><b>{score:.3f}</b> ({one.log_odds:+.2f}){bar}</td><td>{words}</td></tr>'


def marked(word: Word, most: float) -> str:
    if word.carries is None or not most:
        return f"<span>{html.escape(word.text)}</span>"
    strength = STRONGEST * abs(word.carries) / most
    colour = FITS if word.carries > 0 else MISFITS
    title = f"{word.carries:+.2f} log-odds"
    return f'<span title="{title}" style="background:rgba({colour}, {strength:.2f})">{html.escape(word.text)}</span>'


def error(text: str) -> str:
    return f'{STYLE}<p class="synvita-error">{html.escape(" ".join(text.split()))}</p>'
