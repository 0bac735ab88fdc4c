"""What can be set about training."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any

from synvita.core.names import check_name
from synvita.core.settings import check_number, choose
from synvita.train.arms import ARMS, Arm, check_arm
from synvita.videollm.checkpoints import revision_by_name
from synvita.videollm.lora import Lora
from synvita.videollm.protocol import Loading, dtype_of

CHOICES = {
    "shared_tokens": ("digit", "token"),
    "normaliser": ("authors", "global", "separate", "weighted"),
    "grouping": ("item", "triplet"),
    "schedule": ("constant", "cosine", "linear"),
    "optimizer": ("adam", "adamw"),
    "keep": ("best", "last"),
    "tracker": ("none", "tensorboard", "trackio", "wandb"),
}
NOT_NEGATIVE = (
    "frames",
    "micro_batch",
    "warmup",
    "weight_decay",
    "clip",
    "checkpoint_steps",
    "checkpoint_minutes",
    "validate_steps",
)

# Where and how a training runs, which its result does not depend on; one that is resumed looks closer (`begun.json`).
PLACE = (
    "device", "device_map", "deterministic", "checkpoint_steps", "checkpoint_minutes", "tracker", "cache_gb",
    "decode_timeout",
)  # fmt: skip


def named_after(model: str) -> str:
    """A folder's name from a checkpoint's name or path, or one's own module:Class: its last part."""
    last = re.split(r"[:/\\]", model.rstrip("/\\"))[-1]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", last).strip("-.")[:64] or "model"


def check_seed(seed: Any) -> int:
    """A seed, which names a folder. ValueError: no whole number, negative, or longer than a folder's name."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"--train.seed: {str(seed)[:80]} is not a whole number from 0 to 2^63 - 1")
    return seed


@dataclass(frozen=True)
class TrainConfig:
    """How every arm is trained.

    model: base model; a shipped name, a folder, owner/name on the hub, or module:Class.
    name: of the folder models/NAME that all arms of the model are in; default: the last part of its name.
    temporal_attention: false = a Video-LLaVA checkpoint without it is all right.
    tower: folder or hub name of a vision tower that the checkpoint does not hold.
    base: folder or hub name of the language model under a pre-training projector.
    frames: per video; 0 = as the model's own.
    dtype: of the weights: float32, bfloat16 or float16; losses and scores are float32.
    device: cpu, cuda, mps or xpu, with a number as in cuda:1.
    device_map: auto spreads the model over all devices.
    training_prompt: train in the prompt that the authors train Video-LLaVA with, which is not the one they ask it in.
    arms: the ways to use synthetic clips, by name.
    lora: rank, alpha, dropout and the layers of the adapter.
    epochs: passes over the training examples.
    batch: examples per optimiser step, over all processes and accumulated micro-batches.
    micro_batch: examples per forward and backward pass of one process; 0 = all at once.
    optimizer: adam or adamw.
    rate: peak learning rate.
    schedule: of the learning rate: constant, cosine or linear.
    warmup: steps of linear rise. A training of no more steps than that gets a tenth of its own, rounded up, and a
        warning.
    weight_decay: of adamw.
    clip: largest gradient norm; 0 = as it is.
    shared_tokens: what two captions share: whole tokens, or the authors' digits.
    normaliser: what the answer losses are divided by: global, authors, weighted or separate. All answer tokens of the
        optimiser batch, real and synthetic (global), those of the micro-batch (authors), synthetic ones counting w
        (weighted), or the real loss by the real tokens and the synthetic loss by the synthetic ones (separate). Eq. 6
        is a mean over pairs in all of them. So with k clips per triplet, `global` and `authors` give the real part
        1 / (1 + k) of its weight in an arm without clips (half with one clip) and make lambda 1 + k times what it is
        under `separate`: it is what the authors' N does. Under `separate` the real part weighs the same with and
        without clips.
    grouping: what an example is: a triplet with its clips, or one item (one caption, the authors' composition).
    explanations: mix in what is wrong with a negative caption, where a triplet says it (VideoCon's NLE).
    gradient_checkpointing: compute activations again instead of keeping them: less memory, more time.
    deterministic: on a GPU, kernels that give the same bits each time. So a resumed training equals an unbroken one to
        the bit.
    checkpoint_steps: how often a checkpoint is written, in steps; 0 = not by this clock.
    checkpoint_minutes: the same in minutes.
    held_out: share of the training triplets that is kept back to choose by.
    validate_steps: how often these are asked, in steps.
    keep: the adapter of the best held-out AUC, or the last one.
    tracker: where losses are shown: none, tensorboard, trackio or wandb.
    seed: of LoRA's start, dropout and the order of the data.
    cache_gb: most that a run's visual features may take on disk; those not read for longest go first.
    decode_timeout: seconds for one video.
    """

    model: str = "mini-video-llava"
    name: str = ""
    temporal_attention: bool | None = None
    tower: str | None = None
    base: str | None = None
    frames: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    device_map: str | None = None
    training_prompt: bool = False
    arms: dict[str, Arm] = field(default_factory=lambda: dict(ARMS))
    lora: Lora = field(default_factory=Lora)
    epochs: int = 4
    batch: int = 16
    micro_batch: int = 0
    optimizer: str = "adamw"
    rate: float = 2e-3
    schedule: str = "cosine"
    warmup: int = 20
    weight_decay: float = 0.0
    clip: float = 1.0
    shared_tokens: str = "token"
    normaliser: str = "global"
    grouping: str = "triplet"
    explanations: bool = False
    gradient_checkpointing: bool = False
    deterministic: bool = True
    checkpoint_steps: int = 100
    checkpoint_minutes: float = 10.0
    held_out: float = 0.0
    validate_steps: int = 0
    keep: str = "last"
    tracker: str = "none"
    seed: int = 0
    cache_gb: float = 100.0
    decode_timeout: float = 60.0

    def __post_init__(self) -> None:
        dtype_of(self.dtype, "--train.dtype")
        for name in self.arms:
            check_arm(name)
        check_seed(self.seed)
        for name in ("epochs", "batch", "rate", "cache_gb", "decode_timeout"):
            check_number(f"--train.{name.replace('_', '-')}", getattr(self, name), zero=False)
        for name in NOT_NEGATIVE:
            check_number(f"--train.{name.replace('_', '-')}", getattr(self, name))
        for name, known in CHOICES.items():
            choose(f"--train.{name.replace('_', '-')}", getattr(self, name), known)
        if not 0 <= self.held_out < 1:
            raise ValueError(f"--train.held-out: {self.held_out} is not a share in [0, 1)")
        if self.keep == "best" and not (self.held_out and self.validate_steps):
            raise ValueError("--train.keep: best needs --train.held-out and --train.validate-steps to choose by")
        if self.optimizer == "adam" and self.weight_decay:
            raise ValueError(f"--train.weight-decay: {self.weight_decay} with adam; give --train.optimizer adamw")

    @property
    def home(self) -> str:
        """The folder of this base model below the run folder: its adapters, checkpoints and pair scores."""
        return f"models/{self.model_name}"

    @property
    def model_name(self) -> str:
        """ValueError: `name` cannot be a folder's."""
        return check_name("--train.name", self.name or named_after(self.model))

    @property
    def stamp(self) -> dict[str, Any]:
        """What all arms of a model share; where and how fast they are trained is no part of it."""
        return {k: v for k, v in dataclasses.asdict(self).items() if k not in ("arms", "seed", "name", *PLACE)}

    @property
    def loading_stamp(self) -> dict[str, Any]:
        """What a model's answers depend on, and which weights it has."""
        parts = {key: getattr(self, key) for key in ("model", "tower", "base") if getattr(self, key) is not None}
        revisions = {key: revision_by_name(name, f"--train.{key}") for key, name in parts.items()}
        return parts | {
            "revisions": revisions,
            "dtype": self.dtype,
            "frames": self.frames,
            "temporal_attention": self.temporal_attention,
        }

    def loading(self, training: bool = False) -> Loading:
        """How the model is loaded, by training and by evaluation."""
        return Loading(
            self.temporal_attention,
            dtype_of(self.dtype, "--train.dtype"),
            self.device,
            self.device_map,
            tower=self.tower,
            base=self.base,
            frames=self.frames,
            training_prompt=self.training_prompt and training,
        )
