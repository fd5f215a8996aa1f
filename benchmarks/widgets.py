"""Uses the widgets of any page as a reader does."""

import re
from collections.abc import Callable, Iterator

from playwright.sync_api import Locator, Page

from benchmarks.page_clock import Answer, clicked, rest

# Buttons that only change the view; others may launch, cancel or share.
HARMLESS = '[class*="st-key-more"] button, [class*="st-key-use-"] button'
SEARCHED = ("0.1", "reinit", "")


def answers(page: Page, repeats: int) -> Iterator[tuple[str, Answer]]:
    """Use every visible widget of the open tab repeatedly; yield its name and the page's answer."""
    for kind, use in KINDS.items():
        # A choice may add or remove widgets, so they are counted again each time.
        for index in range(_visible(page, kind)):
            for turn in range(repeats):
                if index >= _visible(page, kind):
                    break
                target = page.locator(kind).locator("visible=true").nth(index)
                name = _name(target)
                answer = use(page, target, turn)
                if answer is not None and answer.ran:
                    yield name, answer


def _visible(page: Page, kind: str) -> int:
    return page.locator(kind).locator("visible=true").count()


def _name(target: Locator) -> str:
    """Return a widget's key, which is a class of its container."""
    classes: str | None = target.evaluate("element => element.closest('[class*=st-key-]')?.className ?? null")
    key = re.search(r"st-key-([\w-]+)", classes or "")
    return key[1] if key else target.inner_text().strip()[:40] or "a widget without a name"


def _group(page: Page, target: Locator, turn: int) -> Answer | None:
    del turn
    buttons = target.locator("button")
    chosen = [button.get_attribute("aria-checked") == "true" for button in buttons.all()]
    if len(chosen) < 2:
        return clicked(page, buttons.first) if chosen else None
    # The current option would change nothing.
    following = chosen.index(True) + 1 if True in chosen else 0
    return clicked(page, buttons.nth(following % len(chosen)))


def _select(page: Page, target: Locator, turn: int) -> Answer | None:
    if target.locator("input:disabled").count():
        return None
    target.scroll_into_view_if_needed()
    target.locator("input").first.click()
    options = page.locator("[role=option]")
    page.wait_for_timeout(150)
    chosen = [option.get_attribute("aria-selected") == "true" for option in options.all()]
    if len(chosen) < 2:
        page.keyboard.press("Escape")
        return None
    return clicked(page, options.nth((chosen.index(True) + 1 if True in chosen else turn) % len(chosen)))


def _slider(page: Page, target: Locator, turn: int) -> Answer | None:
    target.scroll_into_view_if_needed()
    target.locator("input[type=range]").first.focus()
    page.keyboard.press("ArrowLeft" if turn % 2 else "ArrowRight")
    return rest(page)


def _search(page: Page, target: Locator, turn: int) -> Answer | None:
    target.fill(SEARCHED[turn % len(SEARCHED)])
    target.press("Enter")
    return rest(page)


def _click(page: Page, target: Locator, turn: int) -> Answer | None:
    del turn
    return clicked(page, target)


KINDS: dict[str, Callable[[Page, Locator, int], Answer | None]] = {
    "[data-testid=stButtonGroup]": _group,
    "[data-testid=stSelectbox]": _select,
    "[data-testid=stMain] [data-testid=stSlider]": _slider,
    "[data-testid=stCheckbox] label": _click,
    "[data-testid=stMain] input[type=search]": _search,
    HARMLESS: _click,
}
