"""Measures in the browser when a page shows its first chart, and when it has answered a click or a key."""

from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Locator, Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.browser.chromium import READY

LONGEST_MS = 60_000
# A page is at rest when nothing has changed for this time, which is not part of the measured time.
QUIET_MS = 300
# If the script has not begun to run by then, the browser answers alone.
BEGUN_MS = 600
# A run of the script that begins within this time of the last one's end belongs to the same answer.
CHAINED_MS = 100

# Times are milliseconds since the navigation. A mark is visible in the frame after the one that drew it.
SCRIPT = """
(() => {
  const clock = window.__clock = {moved: 0, moves: [], acted: 0, chart: null, states: [], state: ""};
  const visible = (element) => element.getClientRects().length > 0;
  // A table's canvas contains an invisible copy for screen readers, which is written later.
  const unseen = (record) => record.target.parentElement?.closest("canvas") || record.target.nodeName === "CANVAS";
  const look = (records) => {
    if (records.every(unseen)) {
      return;
    }
    clock.moved = performance.now();
    clock.moves.push(clock.moved);
    const app = document.querySelector("[data-testid=stApp]");
    const state = app ? app.dataset.testScriptState : "";
    if (state !== clock.state) {
      clock.state = state;
      clock.states.push([clock.moved, state]);
    }
    if (clock.chart === null && [...document.querySelectorAll("svg.marks")].some(visible)) {
      requestAnimationFrame(() => { clock.chart ??= performance.now(); });
    }
  };
  new MutationObserver(look).observe(document, {subtree: true, childList: true, characterData: true,
    attributes: true, attributeFilter: ["data-test-script-state", "aria-selected", "aria-checked", "d"]});
  for (const kind of ["click", "keydown"]) {
    document.addEventListener(kind, () => { clock.acted = performance.now(); }, true);
  }
  // An answer is one run of the script and the runs that follow it at once. A later run belongs to a page that
  // refreshes itself, and not to the answer.
  const answer = (since, chained) => {
    const after = clock.states.filter(([at]) => at >= since);
    let ran = false, end = null;
    for (const [at, state] of after) {
      if (state !== "notRunning") {
        if (end !== null && at - end > chained) {
          return {ran, end, until: at};
        }
        ran = true;
      } else if (ran) {
        end = at;
      }
    }
    return {ran, end: end ?? since, until: Infinity};
  };
  clock.rest = (since, quiet, begun, chained) => new Promise((resolve) => {
    const wait = () => {
      const now = performance.now();
      const {ran, end, until} = answer(since, chained);
      const still = clock.state === "notRunning" && now - clock.moved >= quiet;
      if ((still || until < Infinity) && (ran || now - since >= begun)) {
        const moved = Math.max(since, ...clock.moves.filter((at) => at >= since && at < until));
        resolve({took: moved - since, script: end - since, ran});
      } else {
        setTimeout(wait, 20);
      }
    };
    wait();
  });
})();
"""


@dataclass(frozen=True)
class Answer:
    """The seconds until a page's script had run and until the page was at rest; ran: whether the script ran."""

    script: float
    seconds: float
    ran: bool


def rest(page: Page, since: float | None = None) -> Answer:
    """Wait until a page is at rest; since: the beginning in its milliseconds, by default the last click or key."""
    moment = "window.__clock.acted" if since is None else str(since)
    answer: dict[str, Any] = page.evaluate(f"window.__clock.rest({moment}, {QUIET_MS}, {BEGUN_MS}, {CHAINED_MS})")
    return Answer(answer["script"] / 1000, answer["took"] / 1000, bool(answer["ran"]))


def opened(page: Page, address: str) -> tuple[float, bool]:
    """Open an address; return the seconds until its first chart and True, or without a chart, until rest and False."""
    page.goto(address, wait_until="commit")
    page.wait_for_selector(READY, timeout=LONGEST_MS)
    whole = rest(page, 0.0)
    if page.locator("[data-testid=stVegaLiteChart]").count():
        # A new browser loads Vega only when the page needs it.
        page.wait_for_selector("svg.marks", timeout=LONGEST_MS)
        page.wait_for_timeout(QUIET_MS)
    chart: float | None = page.evaluate("window.__clock.chart")
    return (whole.seconds, False) if chart is None else (chart / 1000, True)


def clicked(page: Page, target: Locator) -> Answer | None:
    """Click, and return the page's answer; None if the target is gone."""
    try:
        target.scroll_into_view_if_needed(timeout=5_000)
        target.click(timeout=5_000)
    except PlaywrightTimeout:
        return None
    return rest(page)


def busy(page: Page, seconds: float) -> float:
    """Return the share of the next seconds in which the page's script runs, 0 to 1, without any click."""
    begin = page.evaluate("performance.now()")
    page.wait_for_timeout(1000 * seconds)
    states: list[tuple[float, str]] = page.evaluate("window.__clock.states")
    end = page.evaluate("performance.now()")
    running, since = 0.0, None
    for at, state in [*states, (end, "notRunning")]:
        if state == "running" and since is None:
            since = max(at, begin)
        elif state != "running" and since is not None:
            running += max(0.0, at - since)
            since = None
    return float(running / (end - begin))
