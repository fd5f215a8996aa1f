import pytest

from engine.dataset import Shape
from engine.study.cost import estimate_seconds, speed_key, stage_seconds
from engine.study.layers import known
from tests.engine.conftest import plan_of, small_study

SHAPE = Shape(channels=1, image_size=8, classes=4, train=96, test=48)


def flops_per_image(network: str, *shape: int) -> int:
    anatomy = known(network, *shape)
    assert anatomy is not None
    return anatomy.flops


def estimate(planned, finished=(), workers: int = 1, seconds: float = 1.0) -> float:
    speeds = {speed_key(stage, SHAPE): seconds for stage in planned.stages.values()}
    return estimate_seconds(planned, set(finished), {"made": SHAPE}, speeds, workers, "cpu", flops_per_image)


def test_flops_equal_published_numbers() -> None:
    # Each weight of the three linear layers takes one multiplication and one addition.
    assert flops_per_image("lenet300", 1, 8, 10) == 2 * (64 * 300 + 300 * 100 + 100 * 10)
    # He et al. state about 41 million multiply-adds.
    assert flops_per_image("resnet20", 3, 32, 10) == pytest.approx(2 * 41e6, rel=0.02)


def test_one_worker_takes_the_sum_and_many_take_the_longest_chain() -> None:
    planned = plan_of(small_study(seeds=[0, 1]))
    each = stage_seconds(next(iter(planned.stages.values())), SHAPE, {}, "cpu", flops_per_image)
    assert each > 0
    alone = estimate(planned)
    assert alone == pytest.approx(len(planned.stages) * (3 * 1.0 + 0.3))
    assert alone / 2 <= estimate(planned, workers=2) < alone
    assert estimate(planned, workers=1000) == pytest.approx(3 * (3 * 1.0 + 0.3))


def test_finished_work_takes_no_time() -> None:
    planned = plan_of(small_study())
    assert estimate(planned, finished=planned.stages) == 0
    assert estimate(planned, finished=list(planned.stages)[:3]) < estimate(planned)


def test_a_measured_speed_scales_to_another_number_of_images() -> None:
    stage = next(iter(plan_of(small_study()).stages.values()))
    half = next(iter(plan_of(small_study(train_images=48)).stages.values()))
    speeds = {speed_key(stage, SHAPE): 8.0}
    assert stage_seconds(half, SHAPE, speeds, "cpu", flops_per_image) == pytest.approx(3 * 4.0 + 0.3)


def test_a_gpu_is_guessed_to_be_faster() -> None:
    stage = next(iter(plan_of(small_study(networks=["resnet20"], train_images=50_000)).stages.values()))
    seconds = [stage_seconds(stage, SHAPE, {}, device, flops_per_image) for device in ("cuda", "cpu")]
    assert seconds[0] < seconds[1]


def test_flops_are_not_counted_where_a_speed_was_measured() -> None:
    stage = next(iter(plan_of(small_study()).stages.values()))

    def uncounted(network: str, channels: int, image_size: int, classes: int) -> float:
        raise AssertionError("counted")

    assert stage_seconds(stage, SHAPE, {speed_key(stage, SHAPE): 1.0}, "cpu", uncounted) > 0
