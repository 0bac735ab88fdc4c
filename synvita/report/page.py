"""One page that holds a run's result: it opens from a file, needs no network, and can be passed on as it is."""

from __future__ import annotations

import base64
import hashlib
import shlex
from pathlib import Path
from typing import Any

import jinja2

from synvita.core.artefacts import quantities
from synvita.core.records import Misalignment, Triplet
from synvita.core.store import read_records, write_atomic
from synvita.core.vocabulary import BASELINE, ORACLE_ARM, QUANTITIES, main_figures
from synvita.report import paper
from synvita.report.cases import PER_GROUP, find_cases
from synvita.report.figures import arm_bars, difference_boxes
from synvita.report.finding import finding
from synvita.report.gallery import ORACLE, UNKNOWN, gallery
from synvita.report.pairs import find_answers
from synvita.report.rankings import PER_SIDE, TOP, find_rankings
from synvita.report.results_file import check_answers, check_results
from synvita.report.table import DASH, arm_table, at, interval, percent
from synvita.report.tiny import tiny_models, tiny_note

FOLDER = Path(__file__).parent


def bars(arms: dict[str, Any]) -> str:
    groups = []
    for task in main_figures():
        entries = {name: e for name, arm in arms.items() if (e := at(arm, task.name))}
        if entries and task.kind == "entailment":
            groups.append((task.title, entries))
    return arm_bars(groups, list(arms)) if groups else ""


def weight_rows(weights: dict[str, Any]) -> list[dict[str, str]]:
    """How well learned weights find the clips that show what they should, as text."""
    return [
        {
            "kind": kind,
            "clips": f"{entry['clips']:,}",
            "right": f"{entry['right']:,}",
            "share": percent(entry["right"] / entry["clips"]) if entry["clips"] else DASH,
            "auc": percent(entry.get("auc")),
            "interval": interval(entry),
            "mean_weight": DASH if entry["mean_weight"] is None else f"{entry['mean_weight']:.3f}",
        }
        for kind, entry in weights.items()
    ]


def audit_rows(types: dict[str, Any]) -> list[tuple[str, ...]]:
    """(type, clips, own, real, difference, spread, weight, share of zero weights) as text."""
    return [
        (
            kind,
            f"{one['clips']:,}",
            *(f"{one[key]:.3f}" for key in ("own", "real")),
            f"{one['difference']:+.3f}".replace("-0.000", "0.000").replace("+0.000", "0.000"),
            *(f"{one[key]:.3f}" for key in ("spread", "weight")),
            percent(one["zero"]),
        )
        for kind, one in types.items()
    ]


def learned_quantities(run: Path) -> dict[str, str]:
    return {name: kind for name, kind in quantities(run).items() if name != ORACLE}


def difference_rows(differences: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(type, clips, mean here, mean in the paper)"""
    given = paper.SCORE_DIFFERENCES
    return [
        (
            kind,
            f"{len(entry['values']):,}",
            f"{entry['mean']:+.2f}",
            f"{given[kind]:+.2f}" if kind in given else "not given",
        )
        for kind, entry in differences.items()
    ]


def run_facts(run: Path, triplets: list[Triplet], arms: dict[str, Any]) -> list[tuple[str, str]]:
    training = sum(t.split == "train" for t in triplets)
    return [
        ("Triplets", f"{len(triplets):,}, of which {training:,} for training"),
        ("Arms", ", ".join(arms) or DASH),
        ("Made by", f"synvita report --run {shlex.quote(str(run))}"),
    ]


def policy(script: str) -> str:
    """What a browser may do with the page: play its own data, run this one script and nothing that a caption brings."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; media-src data:; img-src data:; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    )


def write_report(run: Path, results: dict[str, Any]) -> Path:
    """`run/report/index.html` from `results.json`'s content and the run's records; the same inputs give the same bytes.

    Raises:
        FileNotFoundError: the run has no triplets.jsonl. ValueError: a bad line of a record file, as file:line, or
            results that are not what `synvita evaluate` writes.
    """
    check_results(results, str(run / "results.json"))
    check_answers(run, results)
    triplets = read_records(run / "triplets.jsonl", Triplet, ("id",))
    arms = results["arms"]
    tasks, rows = arm_table(arms)
    differences = results.get("score_differences") or {}
    audited = (results.get("audit") or {}).get("scorers", {})
    answers = find_answers(run, results.get("model"), arms)
    script = (FOLDER / "gallery.js.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,  # captions are text, never markup
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2").render(
        finding=finding(arms),
        facts=run_facts(run, triplets, arms),
        tiny=tiny_note(tiny_models(run, asked=bool(arms))),
        dropped=any("dropped" in cell.gaps for row in rows for cell in row["cells"]),
        tasks=tasks,
        rows=rows,
        other_models=[(name, *arm_table(found["arms"])) for name, found in results.get("models", {}).items()],
        baseline=BASELINE,
        oracle_arm=ORACLE_ARM,
        paper=paper,
        bars=bars(arms),
        differences=difference_rows(differences),
        quantities={name: (kind, QUANTITIES.get(kind, "")) for name, kind in learned_quantities(run).items()},
        difference_figure=difference_boxes(differences) if differences else "",
        weights=weight_rows(results.get("weights") or {}),
        other_weights={who: weight_rows(found) for who, found in (results.get("other_weights") or {}).items() if found},
        audit={name: audit_rows(one["types"]) for name, one in audited.items()},
        blind=[text for one in audited.values() for text in one.get("blind", [])],
        types=[*map(str, Misalignment), UNKNOWN],
        gallery=gallery(run, triplets),
        answers=answers,
        cases=find_cases(run, answers) if answers else None,
        rankings=find_rankings(run, answers) if answers else [],
        per_group=PER_GROUP,
        top=TOP,
        per_side=PER_SIDE,
        script=script,
        policy=policy(script),
    )
    path = run / "report" / "index.html"
    write_atomic(path, page)
    return path
