"""Is a difference more than chance? p-values from bootstrap draws (corrected for their number: `core/holm.py`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BETTER, WORSE, CANNOT_TELL = "better", "worse", "cannot tell"


def two_sided_p(drawn: NDArray[np.float64]) -> float:
    """Twice the share of drawn differences on the rarer side of 0, the figure itself counted as one more draw.

    So p is never 0, and it is below 0.05 where the 95 % percentile interval of the same draws leaves 0 out (but for the
    one draw more).

    Args:
        drawn: (D,) differences, none nan.
    """
    rarer = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (rarer + 1) / (drawn.size + 1))


def verdict(difference: float, p: float, level: float) -> str:
    """`p`: corrected. `level`: of confidence, such as 0.95."""
    if not p < 1 - level:
        return CANNOT_TELL
    return BETTER if difference > 0 else WORSE
