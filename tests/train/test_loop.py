"""What stops training."""

import pytest
import torch

from synvita.train import loop
from synvita.train.config import ARMS, TrainConfig
from synvita.train.examples import Example


class Store:
    def media(self, videos):
        return torch.zeros(len(videos), 1, 1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_the_batchs_triplets(monkeypatch, value):
    monkeypatch.setattr(loop, "objective", lambda *_: {"loss": torch.tensor(value)})
    batch = [(Example(name, f"{name}.mp4", "a ring", "a cross"), None) for name in ("t1", "t7")]
    with pytest.raises(FloatingPointError, match=r"on triplets t1, t7; lower --train\.rate"):
        loop.train_step(None, Store(), batch, ARMS["real_only"], TrainConfig())
