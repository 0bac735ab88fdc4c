"""What can be set about training, and the arms of the experiment as values of the same few knobs."""

from __future__ import annotations

from dataclasses import dataclass, field

from synvita.videollm.lora import Lora
from synvita.videollm.protocol import Loading, dtype_of


@dataclass(frozen=True)
class Arm:
    """One way to use synthetic clips. `weights`: none (no clips), uniform, learned (the scorers'), oracle (the truth).

    `consistency_weight`: lambda of Eq. 7; 0 = without Eq. 6.
    """

    weights: str = "none"
    consistency_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.weights not in ("none", "uniform", "learned", "oracle"):
            raise ValueError(f"--arm: unknown weights {self.weights!r}; known: learned, none, oracle, uniform")
        if self.consistency_weight and self.weights == "none":
            raise ValueError("--arm: the consistency loss needs synthetic clips, but weights are 'none'")


ARMS = {
    "real_only": Arm(),
    "uniform": Arm("uniform"),
    "weighted": Arm("learned"),
    "synvita": Arm("learned", 1.0),
    "weighted_oracle": Arm("oracle"),
}
UNTRAINED = "off_the_shelf"


@dataclass(frozen=True)
class TrainConfig:
    """`model`, and `temporal_attention` to `device_map`: see `videollm.protocol.Loading`.

    `batch`: triplets per step. `rate`: peak learning rate. `warmup`: steps. `clip`: gradient norm. `margin`: m.
    """

    model: str = "mini-video-llava"
    temporal_attention: bool | None = None
    tower: str | None = None
    base: str | None = None
    frames: int = 0
    dtype: str = "float32"
    device: str = "cpu"
    device_map: str | None = None
    arms: dict[str, Arm] = field(default_factory=lambda: dict(ARMS))
    lora: Lora = field(default_factory=Lora)
    epochs: int = 4
    batch: int = 16
    rate: float = 2e-3
    warmup: int = 20
    weight_decay: float = 0.0
    clip: float = 1.0
    margin: float = 0.2
    shared_tokens: str = "token"
    seed: int = 0
    decode_timeout: float = 60.0

    def __post_init__(self) -> None:
        dtype_of(self.dtype, "--train.dtype")
        for name in ("epochs", "batch", "rate", "clip"):
            if getattr(self, name) <= 0:
                raise ValueError(f"--train.{name}: {getattr(self, name)} is not a positive number")
        if self.shared_tokens not in ("token", "digit"):
            raise ValueError(f"--train.shared-tokens: unknown level {self.shared_tokens!r}; known: digit, token")

    def loading(self) -> Loading:
        """How the model is loaded, by training and by evaluation."""
        return Loading(
            self.temporal_attention,
            dtype_of(self.dtype, "--train.dtype"),
            self.device,
            self.device_map,
            tower=self.tower,
            base=self.base,
            frames=self.frames,
        )
