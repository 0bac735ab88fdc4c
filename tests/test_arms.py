"""What is left to do for each arm, and where it is done."""

from synvita.arms.doing import places_of
from synvita.train.config import TrainConfig


def test_each_of_several_arms_at_a_time_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    cuda = TrainConfig(device="cuda")
    assert [place["CUDA_VISIBLE_DEVICES"] for place in places_of(cuda, 3)] == ["4", "7", "4"]
    assert places_of(cuda, 2, processes=2) == [{}, {}]  # accelerate's launcher gives each process its own
    assert places_of(TrainConfig(device="cuda:1"), 2) == places_of(TrainConfig(), 2) == [{}, {}]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert places_of(cuda, 2) == [{}, {}]
