"""`results.json` as the report reads it: people edit it, so its shape is checked and a fault is named by its place."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from synvita.core.identity import Digests
from synvita.core.run_folder import again
from synvita.core.vocabulary import BASELINE

NUMBERS = (
    "auc",
    "map",
    "accuracy",
    "low",
    "high",
    "mean",
    "mean_weight",
    "calibration_error",
)  # a finite number, or null: no figure
TOGETHER = {"missing": "expected", "queries_dropped": "queries", "questions_dropped": "questions"}
COUNTS = (*TOGETHER, *TOGETHER.values(), "pairs", "left_out", "clips", "right", "triplets")
AUDIT_KEYS = ("clips", "own", "real", "difference", "spread", "weight", "zero")
LOOK_KEYS = ("videos", "of_videos", "pairs", "of_pairs")
WEIGHT_KEYS = ("clips", "right", "mean_weight")


def check_results(results: Any, where: str) -> dict[str, Any]:
    """`results` itself, if the report can read it; ValueError: `where` and the first key that is wrong."""
    need_object(results, where)
    if not isinstance(results.get("model", ""), str):
        raise ValueError(f"{where}: model: {results['model']!r} is not text")
    check_arms(results, where)
    if "look" in results:
        check_look(results["look"], f"{where}: look")
    others = results.get("models", {})
    need_object(others, f"{where}: models")
    for name, found in others.items():
        need_object(found, f"{where}: models.{name}")
        check_arms(found, f"{where}: models.{name}")
    sizes = results.get("parameters") or {}
    need_object(sizes, f"{where}: parameters")
    for name, count in sizes.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(f"{where}: parameters.{name}: {count!r} is not a count")
    groups = {"weights": results.get("weights") or {}}
    others = results.get("other_weights") or {}
    need_object(others, f"{where}: other_weights")
    groups |= {f"other_weights.{name}": found or {} for name, found in others.items()}
    for name, kinds in groups.items():
        check_entries(kinds, WEIGHT_KEYS, f"{where}: {name}")
    differences = results.get("score_differences") or {}
    check_entries(differences, ("mean", "values"), f"{where}: score_differences")
    for kind, entry in differences.items():
        values = entry["values"]
        if not isinstance(values, list) or not values or entry["mean"] is None or not all(map(is_number, values)):
            raise ValueError(f"{where}: score_differences.{kind}: expected a mean and a list of numbers")
    check_audit(results.get("audit") or {}, f"{where}: audit")
    return results  # type: ignore[no-any-return]


def check_look(told: Any, where: str) -> None:
    """ValueError: not what `evaluate --limit` says of itself."""
    need_object(told, where)
    need_object(told.get("tasks"), f"{where}.tasks")
    counts = {"limit": told.get("limit")}
    for task, size in told["tasks"].items():
        need_object(size, f"{where}.tasks.{task}")
        counts |= {f"tasks.{task}.{key}": size.get(key) for key in LOOK_KEYS}
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ValueError(f"{where}.{name}: {count!r} is not a count")


def check_audit(found: Any, where: str) -> None:
    """ValueError: not what `evaluate.audit` gives."""
    need_object(found, where)
    scorers = found.get("scorers", {})
    need_object(scorers, f"{where}.scorers")
    for name, one in scorers.items():
        need_object(one, f"{where}.scorers.{name}")
        place = f"{where}.scorers.{name}.types"
        check_entries(one.get("types", {}), AUDIT_KEYS, place)
        for kind, entry in one.get("types", {}).items():
            bad = next((key for key in AUDIT_KEYS if not is_number(entry[key])), None)
            if bad is not None:
                raise ValueError(f"{place}.{kind}.{bad}: {entry[bad]!r} is not a finite number")
        said = one.get("blind", [])
        if not isinstance(said, list) or not all(isinstance(text, str) for text in said):
            raise ValueError(f"{where}.scorers.{name}.blind: expected a list of sentences")


def check_answers(run: Path, results: dict[str, Any]) -> None:
    """ValueError: a pair file that the figures were made from has changed since."""
    made_from = results.get("made_from", {})
    need_object(made_from, f"{run / 'results.json'}: made_from")
    digests = Digests(run)
    for file, digest in made_from.items():
        if not (run / file).is_file() or digests.of(file) != digest:
            raise ValueError(
                f"{run / file}: has changed since the figures were made; once more: {again('evaluate', run)}"
            )
    digests.save()


def check_arms(results: dict[str, Any], where: str) -> None:
    """Those of one base model."""
    if "arms" not in results:
        raise ValueError(f"{where}: lacks 'arms'; make it again with synvita evaluate")
    need_object(results["arms"], f"{where}: arms")
    for name, arm in results["arms"].items():
        place = f"{where}: arms.{name}"
        need_object(arm, place)
        check_numbers(arm, place)
        if not isinstance(arm.get("weights_from", ""), str):
            raise ValueError(f"{place}.weights_from: {arm['weights_from']!r} is not text")
        need_object(arm.get(f"minus_{BASELINE}", {}), f"{place}.minus_{BASELINE}")
        aside = arm.get("set_aside", [])
        if not isinstance(aside, list) or not all(is_set_aside(row) for row in aside):
            raise ValueError(f"{place}.set_aside: expected a list of {{video, reason}}, both text")


def is_set_aside(row: Any) -> bool:
    return isinstance(row, dict) and all(isinstance(row.get(key), str) for key in ("video", "reason"))


def check_entries(entries: Any, keys: tuple[str, ...], place: str) -> None:
    need_object(entries, place)
    for kind, entry in entries.items():
        need_object(entry, f"{place}.{kind}")
        missing = [key for key in keys if key not in entry]
        if missing:
            raise ValueError(f"{place}.{kind}: lacks {missing[0]!r}; make the file again with synvita evaluate")
        check_numbers(entry, f"{place}.{kind}")


def check_numbers(entry: dict[str, Any], place: str) -> None:
    """Every figure and count in an object and in those inside it."""
    for key, value in entry.items():
        if key in NUMBERS and value is not None and not is_number(value):
            raise ValueError(f"{place}.{key}: {value!r} is not a finite number or null")
        if key in COUNTS and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise ValueError(f"{place}.{key}: {value!r} is not a count")
        if key in TOGETHER and TOGETHER[key] not in entry:
            raise ValueError(f"{place}: has {key!r} and lacks {TOGETHER[key]!r}")
        if isinstance(value, dict):
            check_numbers(value, f"{place}.{key}")


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def need_object(value: Any, place: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: expected an object like {{...}}, got {type(value).__name__}")
