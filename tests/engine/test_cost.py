import pytest

from engine.cost import Shape, estimate_seconds, speed_key, stage_seconds
from engine.flops import flops_per_image
from tests.engine.conftest import plan_of, small_study

SHAPE = Shape(channels=1, image_size=8, classes=4, train=96, test=48)


def estimate(planned, finished=(), workers: int = 1, seconds: float = 1.0) -> float:
    speeds = {speed_key(stage, SHAPE): seconds for stage in planned.stages.values()}
    return estimate_seconds(planned, set(finished), {"made": SHAPE}, speeds, workers, "cpu")


def test_known_flops() -> None:
    # One multiplication and one addition for each weight of the three linear layers.
    assert flops_per_image("lenet300", 1, 8, 10) == 2 * (64 * 300 + 300 * 100 + 100 * 10)
    # He et al.: about 41 million multiply-adds.
    assert flops_per_image("resnet20", 3, 32, 10) == pytest.approx(2 * 41e6, rel=0.02)


def test_one_worker_takes_the_sum_and_many_no_less_than_the_longest_chain() -> None:
    planned = plan_of(small_study(seeds=[0, 1]))
    each = stage_seconds(next(iter(planned.stages.values())), SHAPE, {}, "cpu")
    assert each > 0
    one = estimate(planned)
    assert one == pytest.approx(len(planned.stages) * (3 * 1.0 + 0.3))
    assert one / 2 <= estimate(planned, workers=2) < one
    assert estimate(planned, workers=1000) == pytest.approx(3 * (3 * 1.0 + 0.3))


def test_finished_work_takes_no_time() -> None:
    planned = plan_of(small_study())
    assert estimate(planned, finished=planned.stages) == 0
    assert estimate(planned, finished=list(planned.stages)[:3]) < estimate(planned)


def test_a_measured_speed_scales_to_another_number_of_images() -> None:
    stage = next(iter(plan_of(small_study()).stages.values()))
    half = next(iter(plan_of(small_study(train_images=48)).stages.values()))
    speeds = {speed_key(stage, SHAPE): 8.0}
    assert stage_seconds(half, SHAPE, speeds, "cpu") == pytest.approx(3 * 4.0 + 0.3)


def test_a_gpu_is_guessed_to_be_faster() -> None:
    stage = next(iter(plan_of(small_study(networks=["resnet20"], train_images=50_000)).stages.values()))
    assert stage_seconds(stage, SHAPE, {}, "cuda") < stage_seconds(stage, SHAPE, {}, "cpu")
