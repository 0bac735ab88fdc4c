"""What the asking needs of a language model, and the ways in which asking fails that are not the answer's fault."""

from __future__ import annotations

from typing import Any, Protocol


class Busy(Exception):
    """No answer this time (a timeout, 429, 5xx): the same again after `wait` seconds; None: the asker decides."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class Refused(Exception):
    """This request is not answered, however often it is made."""


class LanguageModel(Protocol):
    """Until `setup` it holds settings only. `at_once`: how many prompts it answers at a time, in threads.

    `pause`: seconds to wait behind the first failure; twice as long behind the next.
    """

    at_once: int
    pause: float

    def describe(self) -> dict[str, Any]:
        """What decides its answers, for the stamp; nothing secret, nothing that only says where it runs."""

    def setup(self) -> None:
        """ValueError: it cannot be had."""

    def answer(self, prompt: str) -> str:
        """The text of its answer to one user message.

        Raises:
            Unusable: the answer was cut off, or is a refusal. Busy, Refused: as above. ValueError: nobody will be
                answered; ends the run.
        """

    def rest(self, seconds: float) -> None:
        """Nobody is to ask before so many seconds have passed."""
