"""The paper's numbers, to be read beside a run's own.

Source: "Can Text-to-Video Generation help Video-Language Alignment?" (CVPR 2025), Table 3, Table 1 and the text about
Figure 2. Percent: AUC for entailment, mAP for retrieval, accuracy for question answering.
"""

from __future__ import annotations

from dataclasses import dataclass

TITLE = "Can Text-to-Video Generation help Video-Language Alignment? (CVPR 2025)"

# (column of Table 1 and 3, the task of the miniature that asks the same kind of question)
COLUMNS: tuple[tuple[str, str], ...] = (
    ("LLM", "in_distribution"),
    ("Human", "open"),
    ("Human-Hard", "temporal"),
    ("SSv2-Temporal", "retrieval_temporal"),
    ("SSv2-Events", "retrieval_events"),
    ("ATP-Hard", "qa"),
)


@dataclass(frozen=True)
class PaperRow:
    """One row of a table; `arm` is the arm of a run that is trained in the same way."""

    table: int
    model: str
    arm: str
    values: tuple[float, ...]  # percent, in the order of COLUMNS


ROWS: tuple[PaperRow, ...] = (
    PaperRow(3, "mPLUG-Owl 7B", "off_the_shelf", (57.24, 67.02, 64.39, 11.08, 6.75, 37.96)),
    PaperRow(3, "Video-LLaVA", "off_the_shelf", (62.98, 70.37, 65.99, 11.64, 7.11, 38.56)),
    PaperRow(3, "VideoCon (mPLUG-Owl 7B)", "real_only", (88.39, 77.16, 74.76, 13.00, 10.37, 35.46)),
    PaperRow(3, "VideoCon (Video-LLaVA)", "real_only", (85.86, 80.09, 75.74, 19.77, 10.01, 38.76)),
    PaperRow(1, "naive use of CogVideoX clips", "uniform", (83.93, 76.89, 75.10, 11.76, 8.79, 35.30)),
    PaperRow(1, "naive use of LaVie clips", "uniform", (85.26, 76.96, 74.63, 14.26, 10.80, 34.82)),
    PaperRow(1, "naive use of VideoCrafter2 clips", "uniform", (85.82, 77.33, 75.15, 13.80, 10.27, 35.79)),
    PaperRow(3, "SynViTA (mPLUG-Owl 7B)", "synvita", (86.45, 77.48, 74.54, 17.32, 12.54, 37.31)),
    PaperRow(3, "SynViTA (Video-LLaVA)", "synvita", (85.43, 80.86, 76.86, 20.10, 11.21, 39.88)),
)

# Means of Figure 2 that the text gives (section 3); count and relation are not given.
SCORE_DIFFERENCES: dict[str, float] = {
    "object": 0.15,
    "action": 0.09,
    "attribute": 0.15,
    "hallucination": -0.05,
    "flip": -0.03,
}
