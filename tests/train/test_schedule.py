"""The order of the examples and the learning rate of each step."""

import pytest

from synvita.train.config import TrainConfig
from synvita.train.schedule import plan, rate_at, warmup_of


def test_the_order_depends_on_ids_seed_and_epoch_alone():
    ids = [f"t{i}" for i in range(50)]
    backwards = ids[::-1]
    found = [[ids[i] for i in batch] for batch in plan(ids, 8, 2, 7)]
    assert found == [[backwards[i] for i in batch] for batch in plan(backwards, 8, 2, 7)]
    for epoch in (found[:7], found[7:]):
        assert sorted(name for batch in epoch for name in batch) == sorted(ids)
    assert found[0] != found[7] and found != [[ids[i] for i in b] for b in plan(ids, 8, 2, 8)]


@pytest.mark.parametrize(
    ("schedule", "middle", "last"), [("cosine", 0.5, 0.0), ("linear", 0.5, 0.0), ("constant", 1.0, 1.0)]
)
def test_the_rate_rises_linearly_and_falls_as_the_schedule_says(schedule, middle, last):
    config = TrainConfig(rate=2.0, warmup=10, schedule=schedule)
    assert [rate_at(s, 110, config) for s in (0, 4, 9)] == pytest.approx([0.2, 1.0, 2.0])
    assert rate_at(60, 110, config) == pytest.approx(2.0 * middle)
    assert rate_at(110, 110, config) == pytest.approx(2.0 * last)


@pytest.mark.parametrize(
    ("set_to", "steps", "want"),
    [(20, 500, 20), (20, 21, 20), (20, 20, 2), (20, 11, 2), (20, 1, 1), (1, 1, 1), (0, 5, 0)],
)
def test_warm_up_is_a_tenth_of_a_training_that_is_not_longer_than_it(set_to, steps, want):
    config = TrainConfig(warmup=set_to, rate=3.0, schedule="constant")
    assert warmup_of(steps, config) == want
    assert [rate_at(s, steps, config) for s in range(want)] == pytest.approx(
        [3.0 * (s + 1) / want for s in range(want)]
    )
    assert rate_at(want, steps, config) == 3.0
