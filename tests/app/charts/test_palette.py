import itertools

import numpy as np
import pytest

from app.charts.marks import rate_looks
from app.charts.palette import ORDERED, STARTS, legend, series
from engine import registry

# Linear RGB as people without red, green or blue cones see it (Machado, Oliveira and Fernandes 2009).
BLINDNESS = {
    "none": np.eye(3),
    "protan": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deutan": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritan": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb.clip(0, 1)
    f = np.cbrt(xyz / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def luminance(colour: str) -> float:
    return float(linear(colour) @ np.array([0.2126, 0.7152, 0.0722]))


@pytest.fixture(params=[0, 4], ids=["as-it-is", "four-added"], autouse=True)
def added(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs with the starts of the registry, and again with four more."""
    for index in range(request.param):
        monkeypatch.setitem(registry.STARTS, f"added-{index}", registry.Start(f"added {index}", "nowhere:start"))


def test_every_start_has_a_look() -> None:
    assert set(STARTS) == {*registry.STARTS, "dense"}


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colour_blind_readers_can_distinguish_the_starts(blindness: str) -> None:
    perceived = {name: lab(BLINDNESS[blindness] @ linear(look.colour)) for name, look in STARTS.items()}
    for first, second in itertools.combinations(perceived, 2):
        assert np.linalg.norm(perceived[first] - perceived[second]) > 10, (first, second)


def test_starts_differ_by_shape_and_dash_as_well() -> None:
    assert len({look.shape for look in STARTS.values()}) == len(STARTS)
    assert len({look.dash for look in STARTS.values()}) == len(STARTS)


@pytest.mark.parametrize("background", ["#ffffff", "#14161c"])
def test_starts_have_contrast_on_light_and_dark_backgrounds(background: str) -> None:
    for look in STARTS.values():
        light, dark = sorted((luminance(look.colour), luminance(background)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 2.9, look.name


def test_series_share_no_colour_with_starts_and_repeat_only_with_another_dash() -> None:
    looks = series(str(index) for index in range(15)).values()
    assert not {look.colour for look in looks} & {look.colour for look in STARTS.values()}
    assert len({(look.colour, look.dash) for look in looks}) == 15


def test_legend_names_every_series_and_escapes() -> None:
    html = legend([*STARTS.values(), *series(["<b>"]).values()], "± sd", "solid")
    assert all(look.name in html for look in STARTS.values())
    assert "<b>" not in html
    assert "± sd" in html
    assert "solid" in html


def test_many_rates_have_colours_in_their_order_and_one_ramp_in_a_legend() -> None:
    looks = rate_looks([10**-exponent for exponent in range(9)])
    colours = [look.colour for look in looks.values()]
    assert len(set(colours)) == 9
    assert (colours[0], colours[-1]) == (ORDERED[0], ORDERED[-1])
    for background in ("#ffffff", "#14161c"):
        for colour in colours:
            light, dark = sorted((luminance(colour), luminance(background)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) > 2.9, colour
    html = legend(looks.values())
    assert "learning rate 1e-08" in html
    assert "learning rate 0.01" not in html
    assert all(colour in html for colour in colours)
    assert not any(look.ordered for look in rate_looks([0.1, 0.01]).values())
