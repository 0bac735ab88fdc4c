"""The prompts of VQAScore (t2v_metrics, unchanged from April 2024 to September 2025), around one question."""

from __future__ import annotations

QUESTION = 'Does this figure show "{caption}"? Please answer yes or no.'
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
IMAGE = "<image>"
FRAME = f"{SYSTEM} USER: {IMAGE}\n{{question}} ASSISTANT: "  # the blank at the end is there


def framed(caption: str, question: str = QUESTION) -> tuple[str, str]:
    """The prompt before and behind the image, for LLaVA-1.5 and CLIP-FlanT5."""
    before, behind = FRAME.format(question=question.replace("{caption}", caption)).split(IMAGE, 1)
    return before, behind
