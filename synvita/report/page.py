"""One page that holds a run's result: it opens from a file, needs no network, and can be passed on as it is."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import jinja2

from synvita.core.decoder import Decoder
from synvita.core.records import Misalignment, Triplet
from synvita.core.store import read_records, write_atomic
from synvita.core.vocabulary import BASELINE, METHOD, QUANTITIES, arm_title
from synvita.report import paper
from synvita.report.best_of import choice_text, choice_warnings
from synvita.report.cases import NEAR_TIE, PER_GROUP, find_cases, tag
from synvita.report.dots import dot_plot
from synvita.report.figures import difference_boxes
from synvita.report.gallery import UNKNOWN, gallery
from synvita.report.look import look_words
from synvita.report.measured import aside_rows, made_by, measured
from synvita.report.pairs import find_answers
from synvita.report.rankings import PER_SIDE, REAL_GAP, TOP, find_rankings
from synvita.report.results_file import check_answers, check_results
from synvita.report.table import arm_table, number, sizes
from synvita.report.tiny import tiny_models, tiny_note
from synvita.report.verdict import verdict
from synvita.report.weights import audit_rows, blind_words, difference_rows, learned_quantities, weight_rows

FOLDER = Path(__file__).parent
DECODE_TIMEOUT_S = 60.0  # of one video that is too large to be embedded as it is
FIRST_CARDS = 6  # of a gallery, until somebody asks for more


def policy(script: str = "") -> str:
    """What a browser may do with the page: play its own data, run this one script and nothing that a caption brings."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; media-src data:; img-src data:; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,  # captions are text, never markup
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"number": number, "arm_title": arm_title, "tag": tag}
    return found


def write_report(run: Path, results: dict[str, Any], place: Path | None = None) -> Path:
    """`run/report/index.html` from `results.json`'s content and the run's records; the same inputs give the same bytes.

    Args:
        place: of `results.json`, which gets the page and has the answers to single pairs: a look's folder, or `run`.
    Raises:
        FileNotFoundError: the run has no triplets.jsonl. ValueError: a bad line of a record file, as file:line, or
            results that are not what `synvita evaluate` writes.
    """
    place = place or run
    check_results(results, str(place / "results.json"))
    check_answers(run, results)
    triplets = read_records(run / "triplets.jsonl", Triplet, ("id",))
    arms = results["arms"]
    found = verdict(arms)
    tasks, rows = arm_table(arms)
    axes, dots = dot_plot(arms)
    differences = results.get("score_differences") or {}
    audited = (results.get("audit") or {}).get("scorers", {})
    answers = find_answers(run, results.get("model"), arms, found.best or METHOD, place)
    script = (FOLDER / "gallery.js.j2").read_text(encoding="utf-8")
    with Decoder(DECODE_TIMEOUT_S) as decoder:
        page = (
            environment()
            .get_template("page.html.j2")
            .render(
                look=look_words(results.get("look")),
                verdict=found,
                measured=measured(run, results, triplets),
                made_by=made_by(run),
                tiny=tiny_note(tiny_models(run, asked=bool(arms))),
                choice=choice_text(run),
                choice_warnings=choice_warnings(run),
                aside=aside_rows(run, arms),
                dropped=any("dropped" in cell.gaps for row in rows for cell in row["cells"]),
                axes=axes,
                dots=dots,
                tasks=tasks,
                sizes=sizes(tasks, arms),
                rows=rows,
                other_models=[(name, *arm_table(other["arms"])) for name, other in results.get("models", {}).items()],
                baseline=arm_title(BASELINE),
                paper=paper,
                paper_columns=paper.columns_of({task.name for task in tasks}),
                differences=difference_rows(differences),
                quantities={name: (kind, QUANTITIES.get(kind, "")) for name, kind in learned_quantities(run).items()},
                difference_figure=difference_boxes(differences) if differences else "",
                weights=weight_rows(results.get("weights") or {}),
                other_weights={
                    who: weight_rows(other) for who, other in (results.get("other_weights") or {}).items() if other
                },
                audit={name: audit_rows(one["types"]) for name, one in audited.items()},
                blind=[text for one in audited.values() for text in one.get("blind", [])],
                blind_words=blind_words(audited),
                types=[*map(str, Misalignment), UNKNOWN],
                gallery=gallery(run, triplets, decoder),
                answers=answers,
                cases=find_cases(run, answers, decoder) if answers else None,
                rankings=find_rankings(run, answers, decoder) if answers else [],
                per_group=PER_GROUP,
                near_tie=NEAR_TIE,
                top=TOP,
                per_side=PER_SIDE,
                real_gap=REAL_GAP,
                first_cards=FIRST_CARDS,
                script=script,
                policy=policy(script),
            )
        )
    path = place / "report" / "index.html"
    write_atomic(path, page)
    return path
