"""All faults for a running study, by name."""

from collections.abc import Callable

from tests.faults import clock_strikes, process_strikes, storage_strikes
from tests.faults.target import Strike, Target

STRIKES: dict[str, Callable[[Target], Strike]] = {
    strike.__name__: strike
    for strike in (
        process_strikes.kill_worker,
        process_strikes.kill_worker_main,
        process_strikes.kill_recorder,
        process_strikes.kill_recorder_in_insert,
        process_strikes.kill_redis,
        process_strikes.kill_dashboard,
        process_strikes.kill_supervisor,
        process_strikes.reboot,
        process_strikes.sleep_through_lease,
        process_strikes.double_messages,
        storage_strikes.cut_checkpoint,
        storage_strikes.cut_weights,
        storage_strikes.fill_disk,
        storage_strikes.fill_home,
        storage_strikes.stop_holder,
        clock_strikes.set_clock_of_redis,
        clock_strikes.set_clock_of_recorder,
        clock_strikes.set_clock_of_worker,
        storage_strikes.open_notebook,
        process_strikes.hang_redis,
    )
}
# These last about a minute each, so they are injected once only.
SELDOM = ("hang_redis",)
