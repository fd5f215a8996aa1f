import pytest

from app.charts.points import departs


@pytest.mark.parametrize(
    ("dataset", "network", "asked", "measured", "far"),
    [
        ("digits", "lenet300", 0.9, 0.9, False),
        # Whole weights of three layers: half a weight each of 50,200.
        ("digits", "lenet300", 0.9, 0.90002, False),
        ("digits", "lenet300", 0.9, 0.9001, True),
        ("cifar10", "resnet20", 0.386, 0.38601, False),
        ("cifar10", "resnet20", 0.386, 0.3865, True),
        ("folder:/gone", "resnet20", 0.386, 0.3862, False),
        ("cifar10", "a network that has gone", 0.386, 0.4, True),
    ],
)
def test_only_what_rounding_does_not_explain_departs(dataset, network, asked, measured, far) -> None:
    assert departs(dataset, network, asked, measured) == far
