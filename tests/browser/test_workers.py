"""The Workers page in a real browser, with two real workers that are stopped."""

import re
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tasks.queue import telemetry
from tests.browser.conftest import watching
from tests.browser.serving import DASHBOARD, served
from tests.machine import Machine, long_study, wait_for

pytestmark = pytest.mark.browser


def key(name: str) -> str:
    """Return a key as Streamlit writes it into the class of an element."""
    return re.sub(r"[^\w-]", "-", name)


def test_a_live_worker_shows_its_progress_and_a_lost_one_is_marked(machine: Machine, browser: Browser) -> None:
    machine.recorder()
    processes = {process.pid: process for process in (machine.worker(), machine.worker())}
    wait_for(lambda: len(telemetry.workers(machine.redis)) == 2)
    study_id = machine.launch(long_study(epochs=10_000, name="A study that lasts"))
    wait_for(lambda: telemetry.progress(redis=machine.redis))
    [busy] = [worker for worker in telemetry.workers(machine.redis) if worker.stage]
    [idle] = [worker for worker in telemetry.workers(machine.redis) if not worker.stage]
    machine.wait_until(study_id, "running")
    home = Path(machine.config.home)
    with served(*DASHBOARD, home=home) as address, watching(browser, address) as watched:
        page = watched.page
        page.set_viewport_size({"width": 390, "height": 844})
        watched.open("/workers")
        busy_row, idle_row = (page.locator(f".st-key-worker-{key(worker.name)}") for worker in (busy, idle))
        expect(busy_row).to_contain_text(
            re.compile(r"training.*A study that lasts.*dense · LeNet-300 on Digits", re.DOTALL)
        )
        expect(busy_row).to_contain_text(re.compile(r"epoch [\d,]+ of 10,000"))
        expect(idle_row).to_contain_text("waits for a stage")
        # The row updates by itself.
        before = busy_row.inner_text()
        expect(busy_row).not_to_have_text(before, use_inner_text=True)
        main = page.locator("[data-testid=stMain]")
        assert main.evaluate("element => element.scrollWidth <= element.clientWidth")

        processes[busy.pid].send_signal(signal.SIGSTOP)
        processes[idle.pid].send_signal(signal.SIGKILL)
        for row in (busy_row, idle_row):
            expect(row).to_contain_text(re.compile(r"silent for \d+ s"))
        expect(page.locator(".st-key-workers_numbers")).to_contain_text(re.compile(r"Alive\s*0.*Silent\s*2", re.DOTALL))
        # The suspended worker is resumed.
        processes[busy.pid].send_signal(signal.SIGCONT)
        expect(busy_row).not_to_contain_text("silent")

        page.set_viewport_size({"width": 1440, "height": 900})
        busy_row.get_by_role("link", name="A study that lasts").click()
        expect(page.locator(".st-key-study_head")).to_contain_text("A study that lasts")
