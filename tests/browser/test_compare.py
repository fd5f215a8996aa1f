"""The Compare page in a real browser: restored from its address, clicked and zoomed."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Watched, finished_home, watching
from tests.browser.serving import DASHBOARD, served

pytestmark = pytest.mark.browser

# All points are in view, so none is marked at the foot of an axis.
VIEW = "/compare?s=finish&by=start&c=learning_rate&b=ci&x=remaining&f=same"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard without workers, with one finished study."""
    with served(*DASHBOARD, home=finished_home(tmp_path_factory.mktemp("compared"))) as address:
        yield address


@pytest.fixture
def watched(browser: Browser, compared: str) -> Iterator[Watched]:
    with watching(browser, compared) as page:
        yield page


def points(page: Page, panel: int) -> object:
    return page.locator(f".st-key-compare-panel-{panel} svg.marks .mark-symbol path")


def test_a_view_is_restored_from_its_address(watched: Watched) -> None:
    page = watched.page
    watched.open(VIEW)
    # Each start has a panel with two learning rates, by colour, at two sparsities.
    for panel in range(4):
        expect(points(page, panel)).to_have_count(4)
    expect(page.get_by_role("combobox", name="Panels by")).to_have_value("start")
    expect(page.get_by_role("combobox", name="Band over seeds")).to_have_value("95 % interval")
    expect(page.locator(".st-key-compare-panel-0 svg.marks")).to_contain_text("spaced by what is left")
    page.locator(".st-key-compare_learning_rates").get_by_role("button", name="0.1", exact=True).click()
    watched.ready()
    expect(points(page, 0)).to_have_count(2)
    address = page.url
    assert "lr=0.1" in address
    page.goto("about:blank")
    page.goto(address)
    watched.ready()
    expect(points(page, 3)).to_have_count(2)
    assert page.url == address
    page.locator(".st-key-compare_link button").click()
    expect(page.get_by_text(address, exact=True)).to_be_visible()


def test_a_click_on_a_point_shows_its_seeds_and_dragging_zooms(watched: Watched) -> None:
    page = watched.page
    watched.open("/compare?s=finish&f=same")
    expect(points(page, 0)).to_have_count(8)
    points(page, 0).nth(0).click()
    expect(page.locator(".st-key-compare_seeds")).to_contain_text("on Digits")
    for curve in ("loss", "accuracy"):
        expect(page.locator(f".st-key-compare-{curve} svg.marks path").first).to_be_attached()
    page.wait_for_url(re.compile("at=[0-9a-f]{8}"))
    watched.ready()

    box = page.locator(".st-key-compare-panel-0 svg.marks").bounding_box()
    page.mouse.move(box["x"] + 120, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 150, steps=5)
    page.mouse.move(box["x"] + 380, box["y"] + 220, steps=5)
    page.mouse.up()
    page.wait_for_url(re.compile("z="))
    expect(page.locator(".st-key-compare_whole button")).to_be_visible()
    watched.ready()
    # The point is still selected.
    assert re.search("at=[0-9a-f]{8}", page.url)
    page.mouse.dblclick(box["x"] + 250, box["y"] + 230)
    page.wait_for_url(lambda url: "z=" not in url)
    page.locator(".st-key-compare_close button").click()
    expect(page.locator(".st-key-compare_seeds")).to_have_count(0)


@pytest.mark.parametrize("view", ["", "&v=sweep", "&v=overlap"])
def test_the_page_fits_the_width_of_a_telephone_and_scrolls_over_charts(watched: Watched, view: str) -> None:
    page = watched.page
    page.set_viewport_size({"width": 420, "height": 900})
    watched.open(f"/compare?s=finish{view}")
    main = page.locator("[data-testid=stMain]")
    expect(page.locator("svg.marks").first).to_be_visible()
    assert main.evaluate("element => element.scrollWidth <= element.clientWidth")
    if "overlap" in view:
        # The paper's symbols have their subscripts.
        expect(page.locator("svg.marks text tspan[dy]", has_text="p").first).to_be_attached()
        expect(page.locator("svg.marks text", has_text="R_p")).to_have_count(0)
    page.locator("svg.marks").first.hover()
    before = main.evaluate("element => element.scrollTop")
    page.mouse.wheel(0, 300)
    page.wait_for_timeout(300)
    assert main.evaluate("element => element.scrollTop") > before
