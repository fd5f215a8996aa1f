"""The dashboard as a person uses it, with real workers, recorder and Redis."""

import re
import socket
import time
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from app.study.page import REFRESH
from engine.study.spec import to_toml
from tests.browser.chromium import open_tab
from tests.browser.conftest import Watched
from tests.machine import tiny_study

pytestmark = pytest.mark.browser

TINY = """
name = "Tiny study"
datasets = ["digits"]
networks = ["lenet300"]
learning_rates = [0.01, 0.1]
pruners = ["iterative", "oneshot"]
sparsities = [0.5, 0.9]
starts = ["winning_ticket", "reinit", "finetune"]
seeds = [0, 1]
train_images = 200

[recipe]
epochs = 20
batch_size = 32
"""

LONG = TINY.replace("Tiny", "Long").replace("epochs = 20", "epochs = 5000").replace("seeds = [0, 1]", "seeds = [0]")


def fill_in(watched: Watched, toml: str) -> None:
    """Fill in the New study form from pasted TOML."""
    page = watched.page
    page.get_by_text("A TOML file").click()
    watched.ready()
    # Without another key or click, it fills in the form.
    page.get_by_label("or paste one").fill(toml)
    name = re.search(r'name = "(.*)"', toml)
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value(name[1])
    watched.ready()


def launch(watched: Watched) -> None:
    """Launch the study of the form and wait for its page."""
    page = watched.page
    page.locator(".st-key-launch button").click()
    expect_begun(page, page.locator(".st-key-study_head"), "launch_long_yes")
    page.wait_for_url("**/study?study=*")


def expect_begun(page: Page, sign: Locator, key: str) -> None:
    """Expect the sign that something has begun, and answer the question that a busy machine asks before: it takes long.

    key: that of the button that answers it.
    """
    long = page.locator(f".st-key-{key} button")
    expect(sign.or_(long).first).to_be_visible()
    if long.is_visible():
        long.click()
    expect(sign).to_be_visible()


def done(page: Page) -> int:
    """Return the number of finished stages on the Progress tab."""
    text = page.locator(".st-key-progress_overview").inner_text()
    return int(re.search(r"([\d,]+) of [\d,]+ stages done", text)[1])


def expect_chart(page: Page, key: str) -> None:
    """Expect a chart with marks in it."""
    expect(page.locator(f".st-key-{key} svg.marks path").first).to_be_attached()


def test_a_study_is_launched_watched_and_plotted_by_clicks(watched: Watched) -> None:
    page = watched.page
    watched.open()
    expect(page.get_by_role("link", name="Finished before")).to_be_visible()
    page.locator(".st-key-new_study button").click()
    watched.ready()

    fill_in(watched, TINY)
    expect(page.locator(".st-key-plan_numbers")).to_contain_text("40")
    rates = page.get_by_role("textbox", name="Learning rates")
    rates.fill("0.01, abc")
    rates.press("Enter")
    expect(page.locator(".st-key-error-learning_rates")).to_contain_text("'abc' should be a valid number")
    expect(page.locator(".st-key-launch button")).to_be_disabled()
    rates.fill("0.01, 0.1")
    rates.press("Enter")
    expect(page.locator(".st-key-launch button")).to_be_enabled()
    launch(watched)

    # The search stays while the page refreshes itself, and so does the chosen tab below.
    page.get_by_role("searchbox", name="Search stages").fill("fine-tune")
    page.get_by_role("searchbox", name="Search stages").press("Enter")
    counts = set()
    deadline = time.monotonic() + 60
    while len(counts) < 3 and time.monotonic() < deadline:
        counts.add(done(page))
        page.wait_for_timeout(500)
    assert len(counts) >= 3, f"progress did not change: {counts}"
    expect(page.get_by_role("searchbox", name="Search stages")).to_have_value("fine-tune")

    open_tab(page, "Accuracy")
    expect_chart(page, "accuracy-panel-0")
    page.evaluate("document.querySelector('.st-key-accuracy_choices').dataset.same = 'yes'")
    expect(page.locator(".st-key-study_head")).to_contain_text("done", timeout=90_000)
    watched.ready()
    expect(page.get_by_role("tab", name="Accuracy")).to_have_attribute("aria-selected", "true")
    expect(page.locator(".st-key-accuracy_choices[data-same=yes]")).to_be_visible()
    for panel in range(4):
        expect_chart(page, f"accuracy-panel-{panel}")
    expect(page.locator(".st-key-accuracy_table")).to_be_visible()

    open_tab(page, "Overlap")
    for key in ("overlap-retention", "overlap-starts-0", "overlap-starts-3", "overlap-layers-0", "overlap-layers-1"):
        expect_chart(page, key)
    expect(page.get_by_text("affect how much of the initial weights is left")).to_be_visible()

    page.reload()
    watched.ready()
    expect(page.locator(".st-key-study_head")).to_contain_text("Tiny study")
    page.get_by_role("link", name="Studies").first.click()
    expect(page.get_by_role("link", name="Tiny study")).to_be_visible()


def test_the_demo_preset_is_launched_and_its_charts_are_drawn(watched: Watched) -> None:
    page = watched.page
    watched.open("/new_study")
    page.get_by_role("textbox", name="Seeds").fill("7")
    page.get_by_text("A figure of the paper").click()
    watched.ready()
    page.locator(".st-key-start_from").get_by_text("Demo", exact=True).click()
    watched.ready()
    # One of its three seeds and sparsities is enough here.
    for field, value in (("Seeds", "0"), ("Sparsities", "0.9")):
        box = page.get_by_role("textbox", name=field)
        box.fill(value)
        box.press("Enter")
    expect(page.locator(".st-key-plan_numbers")).to_contain_text("10")
    launch(watched)
    expect(page.locator(".st-key-study_head")).to_contain_text("done", timeout=120_000)
    expect(page.locator(".st-key-progress_overview")).to_contain_text("10 of 10 stages done")
    open_tab(page, "Accuracy")
    for panel in range(4):
        expect_chart(page, f"accuracy-panel-{panel}")
    open_tab(page, "Overlap")
    expect_chart(page, "overlap-retention")


@pytest.mark.usefixtures("stopping")
def test_cancelling_asks_first_and_retrying_continues_the_study(watched: Watched) -> None:
    page = watched.page
    watched.open("/new_study")
    fill_in(watched, LONG)
    launch(watched)
    expect(page.locator(".st-key-study_head")).to_contain_text("running")
    expect_chart(page, "curves-loss")
    page.locator(".st-key-cancel button").click()
    page.locator(".st-key-cancel_no button").click()
    expect(page.locator(".st-key-cancel_no")).to_have_count(0)
    expect(page.locator(".st-key-study_head")).to_contain_text("running")
    page.locator(".st-key-cancel button").click()
    page.locator(".st-key-cancel_yes button").click()
    expect(page.locator(".st-key-study_head")).to_contain_text("cancelled")
    page.locator(".st-key-retry button").click()
    head = page.locator(".st-key-study_head").filter(has_text=re.compile("running|queued"))
    expect_begun(page, head, "retry_long_yes")
    page.locator(".st-key-cancel button").click()
    page.locator(".st-key-cancel_yes button").click()
    expect(page.locator(".st-key-study_head")).to_contain_text("cancelled")
    # Whoever cancelled it need not be told so, least of all by a notice that covers the next button.
    expect(page.get_by_test_id("stToast")).to_have_count(0)
    page.locator(".st-key-delete button").click()
    page.locator(".st-key-delete_yes button").click()
    page.locator(".st-key-undo button").click()
    expect(page.get_by_role("link", name="Long study")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/new_study", "/study?study=finished-before", "/study?study=gone"])
def test_every_page_fits_the_width_of_a_telephone(watched: Watched, path: str) -> None:
    watched.page.set_viewport_size({"width": 420, "height": 900})
    watched.open(path)
    main = watched.page.locator("[data-testid=stMain]")
    assert main.evaluate("element => element.scrollWidth <= element.clientWidth")


def test_the_page_of_an_unknown_study_leads_to_the_list(watched: Watched) -> None:
    watched.open("/study?study=gone")
    expect(watched.page.get_by_text("No study 'gone' is recorded here")).to_be_visible()
    watched.page.get_by_role("link", name="All studies").click()
    expect(watched.page.get_by_role("link", name="Finished before")).to_be_visible()


@pytest.mark.usefixtures("stopping")
def test_deleting_asks_first_and_leads_to_the_list(watched: Watched) -> None:
    watched.open("/new_study")
    fill_in(watched, LONG.replace("Long", "Unwanted"))
    launch(watched)
    page = watched.page
    sent: list[str | bytes] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    # The reload opens a socket that is watched from its beginning.
    page.reload()
    watched.ready()
    page.locator(".st-key-delete button").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The Trash can bring it back")
    watched.ready()
    assert sent, "no socket was watched"
    # A refresh that had begun before the dialog may end after it; a page that refreshes itself is never this quiet.
    for _ in range(10):
        before = len(sent)
        page.wait_for_timeout(1_500 * REFRESH)
        if len(sent) == before:
            break
    else:
        pytest.fail("the page behind the dialog refreshes itself")
    page.locator(".st-key-delete_no button").click()
    expect(dialog).to_have_count(0)
    page.locator(".st-key-delete button").click()
    page.locator(".st-key-delete_yes button").click()
    expect(page.locator(".st-key-deleted_message")).to_contain_text("Moved “Unwanted study” to the Trash.")
    expect(page.get_by_role("heading", name="Studies", exact=True)).to_be_visible()
    watched.ready()
    expect(page.get_by_role("link", name="Unwanted study")).to_have_count(0)
    # Other visitors do not see it either, once the deletion is recorded.
    page.reload()
    expect(page.get_by_role("link", name="Finished before")).to_be_visible()
    expect(page.get_by_role("link", name="Unwanted study")).to_have_count(0)


def test_an_owner_uploads_a_study_file_and_the_form_is_filled_in(watched: Watched, tmp_path: Path) -> None:
    watched.open("/new_study")
    page = watched.page
    file = tmp_path / "study.toml"
    file.write_text(to_toml(tiny_study(name="Uploaded study")))
    page.get_by_text("A TOML file").click()
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("Uploaded study")
    # The text of a faulty file is corrected in place.
    file = tmp_path / "faulty.toml"
    file.write_text(to_toml(tiny_study(name="Faulty study")).replace("epochs", "epocs"))
    page.locator("input[type=file]").set_input_files(file)
    expect(page.locator(".st-key-toml_problem_shown")).to_contain_text(
        re.compile(r"Line \d+ \(epocs = .*did you mean epochs")
    )
    text = page.get_by_label("or paste one")
    expect(text).to_have_value(re.compile("epocs"))
    text.fill(text.input_value().replace("epocs", "epochs"))
    expect(page.get_by_role("textbox", name="Name", exact=True)).to_have_value("Faulty study")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    watched.ready()
    page.locator(".st-key-copy-toml button").click()
    expect(page.locator(".st-key-copied-toml")).to_contain_text("Copied")
    assert 'name = "Faulty study"' in page.evaluate("navigator.clipboard.readText()")


def test_launch_is_near_by_keyboard_always_in_view_and_covers_no_field(watched: Watched) -> None:
    page = watched.page
    watched.open("/new_study")
    button, bar = page.locator(".st-key-launch button"), page.locator(".st-key-launch_bar")
    main = page.locator("[data-testid=stMain]")
    expect(button).to_be_enabled()
    presses = 0
    while not button.evaluate("element => element === document.activeElement") and presses < 60:
        page.keyboard.press("Tab")
        presses += 1
    assert presses <= 20
    for width, height in ((1440, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        for share in (0.0, 0.5, 1.0):
            main.evaluate("(element, share) => { element.scrollTop = share * element.scrollHeight; }", share)
            expect(button).to_be_in_viewport(ratio=1)
        # What gets the focus is scrolled clear of the line with Launch.
        main.evaluate("element => { element.scrollTop = 0; }")
        for name in ("Learning rates", "Epochs, T", "Name", "Test images", "Rate per round", "Name"):
            field = page.get_by_role("textbox", name=name, exact=True)
            field.focus()
            page.wait_for_timeout(50)
            # A screen reader speaks of the help below a field, which is no stop of the Tab key.
            assert bool(field.get_attribute("aria-describedby")) == (name != "Name")
            mine, line = field.bounding_box(), bar.bounding_box()
            assert mine["y"] + mine["height"] <= line["y"] or mine["y"] >= line["y"] + line["height"], (name, width)


def test_a_page_can_connect_to_its_own_server_alone(watched: Watched) -> None:
    watched.open("/glossary")
    page = watched.page
    with socket.create_server(("127.0.0.1", 0)) as other:
        connect = """address => new Promise(done => {
            document.addEventListener("securitypolicyviolation", event => done(event.violatedDirective));
            new WebSocket(address).onopen = () => done("connected");
        })"""
        address = f"ws://127.0.0.1:{other.getsockname()[1]}/"
        assert page.evaluate(connect, address) == "connect-src"
    # The browser reports on its console what it refuses.
    watched.errors.clear()
