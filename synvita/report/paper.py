"""The paper's numbers, to be read beside a run's own.

Source: "Can Text-to-Video Generation help Video-Language Alignment?" (CVPR 2025), Table 3, Table 1 and the text about
Figure 2. Percent: AUC for entailment, mAP for retrieval, accuracy for question answering.
"""

from __future__ import annotations

from dataclasses import dataclass

from synvita.core.vocabulary import BASELINE, IN_DISTRIBUTION, METHOD, OPEN, UNTRAINED

TITLE = "Can Text-to-Video Generation help Video-Language Alignment? (CVPR 2025)"

# (column of Table 1 and 3, the task of the miniature that asks the same kind of question)
COLUMNS: tuple[tuple[str, str], ...] = (
    ("LLM", IN_DISTRIBUTION),
    ("Human", OPEN),
    ("Human-Hard", "temporal"),
    ("SSv2-Temporal", "retrieval_temporal"),
    ("SSv2-Events", "retrieval_events"),
    ("ATP-Hard", "qa"),
)

BENCHMARK_OF = {  # column -> the same test, where a run was asked it
    "LLM": "videocon_llm",
    "Human": "videocon_human",
    "Human-Hard": "videocon_human_hard",
    "SSv2-Temporal": "ssv2_temporal",
    "SSv2-Events": "ssv2_events",
    "ATP-Hard": "atp_hard",
}


def columns_of(asked: set[str]) -> list[tuple[str, str, bool]]:
    """(column, what this page has of its kind, whether that is the same test); empty text where it has nothing."""
    found = []
    for column, task in COLUMNS:
        same = BENCHMARK_OF[column] in asked
        found.append((column, "above, too" if same else task if task in asked else "", same))
    return found


@dataclass(frozen=True)
class PaperRow:
    """One row of a table; `arm` is the arm of a run that is trained in the same way."""

    table: int
    model: str
    arm: str
    values: tuple[float, ...]  # percent, in the order of COLUMNS


ROWS: tuple[PaperRow, ...] = (
    PaperRow(3, "mPLUG-Owl 7B", UNTRAINED, (57.24, 67.02, 64.39, 11.08, 6.75, 37.96)),
    PaperRow(3, "Video-LLaVA", UNTRAINED, (62.98, 70.37, 65.99, 11.64, 7.11, 38.56)),
    PaperRow(3, "VideoCon (mPLUG-Owl 7B)", BASELINE, (88.39, 77.16, 74.76, 13.00, 10.37, 35.46)),
    PaperRow(3, "VideoCon (Video-LLaVA)", BASELINE, (85.86, 80.09, 75.74, 19.77, 10.01, 38.76)),
    PaperRow(1, "naive use of CogVideoX clips", "uniform", (83.93, 76.89, 75.10, 11.76, 8.79, 35.30)),
    PaperRow(1, "naive use of LaVie clips", "uniform", (85.26, 76.96, 74.63, 14.26, 10.80, 34.82)),
    PaperRow(1, "naive use of VideoCrafter2 clips", "uniform", (85.82, 77.33, 75.15, 13.80, 10.27, 35.79)),
    PaperRow(3, "SynViTA (mPLUG-Owl 7B)", METHOD, (86.45, 77.48, 74.54, 17.32, 12.54, 37.31)),
    PaperRow(3, "SynViTA (Video-LLaVA)", METHOD, (85.43, 80.86, 76.86, 20.10, 11.21, 39.88)),
)

# Means of Figure 2 that the text gives (section 3); count and relation are not given.
SCORE_DIFFERENCES: dict[str, float] = {
    "object": 0.15,
    "action": 0.09,
    "attribute": 0.15,
    "hallucination": -0.05,
    "flip": -0.03,
}

# Per study of `synvita study`: (table, rows in the order of COLUMNS; three values: entailment only). mPLUG-Owl 7B.
STUDIES: dict[str, tuple[str, tuple[tuple[str, tuple[float, ...]], ...]]] = {
    "arms": (
        "Tables 1 and 3",
        tuple((f"{r.model} (here `{r.arm}`)", r.values) for r in ROWS),
    ),
    "table_6": (
        "Table 6: the three scorers and their mean, and for reference the fine-tuned models",
        (
            ("InstructBLIP", (64.97, 73.37, 66.87)),
            ("LLaVA-1.5", (64.54, 69.84, 63.67)),
            ("CLIP-FlanT5", (65.59, 74.41, 67.92)),
            ("all three", (66.60, 74.60, 67.85)),
            ("SynViTA (mPLUG-Owl 7B)", (86.45, 77.48, 74.54)),
            ("SynViTA (Video-LLaVA)", (85.43, 80.86, 76.86)),
        ),
    ),
    "criteria": (
        "Table 4",
        (
            ("uniform", (83.95, 76.91, 75.05, 12.54, 8.48, 36.23)),
            ("target", (84.87, 76.46, 74.12, 13.43, 9.40, 35.95)),
            ("product", (85.57, 76.79, 74.11, 15.52, 10.74, 36.06)),
            ("hard", (84.88, 76.79, 73.17, 14.17, 10.38, 37.15)),
            ("difference", (86.45, 77.48, 74.54, 17.32, 12.54, 37.31)),
        ),
    ),
    "generators": (
        "Tables 1 (naive use) and 5 (SynViTA)",
        (
            ("none (VideoCon)", (88.39, 77.16, 74.76, 13.00, 10.37, 35.46)),
            ("naive, CogVideoX", (83.93, 76.89, 75.10, 11.76, 8.79, 35.30)),
            ("naive, LaVie", (85.26, 76.96, 74.63, 14.26, 10.80, 34.82)),
            ("naive, VideoCrafter2", (85.82, 77.33, 75.15, 13.80, 10.27, 35.79)),
            ("SynViTA, CogVideoX", (86.45, 77.48, 74.54, 17.32, 12.54, 37.31)),
            ("SynViTA, LaVie", (86.45, 77.51, 74.73, 15.98, 12.36, 36.55)),
            ("SynViTA, VideoCrafter2", (86.43, 77.48, 74.74, 15.47, 11.72, 36.50)),
            ("SynViTA, all three", (85.82, 77.15, 73.79, 14.06, 10.90, 36.44)),
        ),
    ),
    "margin": (
        "Table 7",
        (
            ("0.2", (86.14, 77.25, 73.95)),
            ("0.4", (86.04, 77.39, 73.71)),
            ("0.6", (86.03, 77.17, 73.72)),
            ("0.8", (85.99, 76.78, 73.39)),
        ),
    ),
    "lambda": (
        "Table 8; the text that we have lost the first three labels, the order is the table's",
        (
            ("0.001?", (86.45, 77.48, 74.53)),
            ("0.01?", (86.45, 77.48, 74.54)),
            ("0.1?", (86.40, 77.34, 74.29)),
            ("1.0", (86.14, 77.25, 73.95)),
        ),
    ),
    "misalignment": (
        "Tables 2 and 9",
        (
            ("none (VideoCon)", (88.39, 77.16, 74.76, 13.00, 10.37, 35.46)),
            ("object", (86.28, 77.36, 74.15, 14.54, 11.54, 35.48)),
            ("action", (86.10, 77.43, 74.83, 15.04, 10.66, 36.28)),
            ("attribute", (86.51, 77.61, 75.50, 13.67, 11.47, 35.25)),
            ("count", (86.10, 77.66, 75.27, 14.27, 10.97, 36.16)),
            ("relation", (86.22, 77.46, 74.59, 14.99, 11.38, 34.65)),
            ("hallucination", (85.46, 76.55, 74.77, 13.89, 10.14, 36.37)),
            ("flip", (85.69, 76.04, 73.53, 14.94, 10.73, 36.06)),
            ("action, SynViTA", (85.80, 77.86, 74.96, 15.41, 11.66, 37.62)),
            ("hallucination, SynViTA", (86.45, 77.03, 74.74, 14.89, 11.00, 36.42)),
        ),
    ),
}
