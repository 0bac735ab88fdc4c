"""A language model of transformers on this machine, asked through its chat template for its likeliest words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synvita.core.provenance import folder_digest
from synvita.triplets.negatives.rules import Unusable

LONGEST = 512  # tokens of an answer


class LocalModel:
    """`name`: a folder, or owner/name on the model hub. `dtype`: as the weights are, unless it is named."""

    at_once, pause = 1, 0.0

    def __init__(self, name: str, device: str = "cpu", dtype: str = "auto", longest: int = LONGEST):
        self.name, self.device, self.dtype, self.longest = name, device, dtype, longest
        folder = Path(name)
        if folder.is_dir() and not (folder / "config.json").exists():
            raise ValueError(f"--local: {name}: no config.json in this folder; not a checkpoint")
        if not folder.is_dir() and (name.count("/") != 1 or folder.is_absolute() or name.startswith(".")):
            raise ValueError(f"--local: {name}: no such folder; or a hub name owner/name")
        self.model: Any = None
        self.tokenizer: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """What travels to a worker: the settings."""
        return vars(self) | {"model": None, "tokenizer": None}

    def describe(self) -> dict[str, Any]:
        folder = Path(self.name)
        revision = folder_digest(folder) if folder.is_dir() else self.name
        return {"local": revision, "dtype": self.dtype, "longest": self.longest}

    def setup(self) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        from synvita.core.devices import check_device

        check_device(self.device, "--device")
        logging.disable_progress_bar()
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(self.name)
            self.model = AutoModelForCausalLM.from_pretrained(self.name, dtype=self.dtype).eval().to(self.device)
        except Exception as error:  # whatever the library makes of a damaged checkpoint, or of a hub out of reach
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise ValueError(f"--local: {self.name}: not a usable language model ({reason})") from error
        if not self.tokenizer.chat_template:
            raise ValueError(f"--local: {self.name}: has no chat template; give a model that was trained to answer")

    def answer(self, prompt: str) -> str:
        """Raises: Unusable: it did not come to an end."""
        import torch

        messages = [{"role": "user", "content": prompt}]
        ids = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(self.device)
        with torch.inference_mode():
            tokens = self.model.generate(
                **ids, max_new_tokens=self.longest, do_sample=False, temperature=None, top_p=None, top_k=None
            )
        new = tokens[0, ids["input_ids"].shape[1] :]
        if len(new) >= self.longest:
            raise Unusable("it was cut off at the longest answer allowed; be brief")
        return str(self.tokenizer.decode(new, skip_special_tokens=True))

    def rest(self, seconds: float) -> None: ...
