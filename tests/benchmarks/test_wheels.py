"""Which wheels fit which Python and platform."""

from pathlib import Path

from packaging.utils import canonicalize_name

from benchmarks import wheels

ROOT = Path(__file__).parents[2]


def places(*files: str) -> list[str]:
    return wheels.missing(wheels.wheels(list(files), "1.2"))


def test_a_wheel_of_pure_python_fits_everywhere() -> None:
    assert places("package-1.2-py3-none-any.whl") == []


def test_wheels_of_one_binary_interface_fit_later_pythons() -> None:
    binaries = ("manylinux_2_28_x86_64", "manylinux2014_aarch64.manylinux_2_17_aarch64", "macosx_11_0_arm64")
    assert places(*(f"package-1.2-cp38-abi3-{platform}.whl" for platform in binaries)) == []
    assert places(*(f"package-1.2-py3-none-{platform}.whl" for platform in binaries[:2])) == [
        f"Python 3.{minor} on macOS arm64" for minor in (11, 12, 13, 14)
    ]


def test_wheels_for_both_kinds_of_macs_fit_though_their_system_is_older_than_arm64() -> None:
    linux = [f"package-1.2-py3-none-{platform}.whl" for platform in ("manylinux_2_28_x86_64", "manylinux_2_28_aarch64")]
    assert places("package-1.2-cp38-abi3-macosx_10_15_universal2.whl", *linux) == []
    assert len(places("package-1.2-cp38-abi3-macosx_10_15_x86_64.whl", *linux)) == 4


def test_source_other_versions_newer_systems_and_free_threaded_pythons_do_not_count() -> None:
    everywhere = [f"Python 3.{minor} on {platform}" for minor in (11, 12, 13, 14) for platform in wheels.PLATFORMS]
    assert places("package-1.2.tar.gz", "package-1.3-py3-none-any.whl", "package-1.2-1-2-3-4.whl") == everywhere
    assert places("package-1.2-cp313-cp313t-manylinux_2_28_x86_64.whl") == everywhere
    assert places(
        "package-1.2-cp311-abi3-manylinux_2_35_x86_64.whl", "package-1.2-cp311-abi3-macosx_15_0_arm64.whl"
    ) == (everywhere)


def test_a_package_that_stops_before_the_latest_python_is_missing_there() -> None:
    files = [f"package-1.2-cp3{minor}-cp3{minor}-manylinux_2_17_x86_64.whl" for minor in (11, 12)]
    linux = [place for place in places(*files) if "x86_64" in place]
    assert linux == ["Python 3.13 on Linux x86_64", "Python 3.14 on Linux x86_64"]


def test_every_line_of_the_requirements_is_a_pin_or_a_range_that_is_pinned_by_the_constraints() -> None:
    pinned = {canonicalize_name(name) for name, _ in wheels.pins((ROOT / "constraints.txt").read_text())}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        [(name, _)] = wheels.pins(line) or [(line.split(">=")[0], "")]
        assert canonicalize_name(name) in pinned, f"{line} is in requirements.txt, and no pin of it in constraints.txt"
