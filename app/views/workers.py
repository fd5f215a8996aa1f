"""Workers: who is alive on which host, what each trains and how fast; those that fell silent are marked."""

import streamlit as st

from app import words
from app.auth import access
from app.components import chart, worker_rows
from app.components.worker_rows import Host
from app.state import live
from data.settings import settings

REFRESH = 2.0
# Rows of workers that are drawn; a browser would lag behind with hundreds.
MOST = 120

HERE = "python -m tasks worker"
ELSEWHERE = """\
export REDIS_URL=rediss://:PASSWORD@redis.example:6379/0
export TICKETSCOPE_ARTIFACTS=s3://bucket/prefix
python -m tasks worker"""


def how_to_start() -> None:
    """Say how workers are started, here and elsewhere."""
    st.markdown("On this machine, one for each GPU, or for each core where there is none:")
    st.code(HERE, language=None)
    st.markdown("On any other host that reaches the same Redis and the same store of weights:")
    st.code(ELSEWHERE, language=None)
    if settings().redis_url is None:
        st.caption(
            "The Redis in use was started here and answers on this machine only. For workers on other hosts, run one "
            "that they reach, with a password, and set `REDIS_URL` for every part, this dashboard included."
        )


def numbers(hosts: list[Host]) -> None:
    """Show how many workers there are of each kind, and how fast they are together."""
    rows = [row for host in hosts for row in host.rows]
    alive = [row for row in rows if not row.silent]
    counts = {state: sum(row.worker.state == state for row in alive) for state in words.WORKER_STATES}
    queued = live.queued()
    with st.container(horizontal=True, gap="medium", key="workers_numbers"):
        st.metric("Alive", f"{len(alive):,}", width="content")
        for state, count in counts.items():
            if count or state != "draining":
                st.metric(state.capitalize(), f"{count:,}", width="content")
        st.metric(
            "Silent",
            f"{len(rows) - len(alive):,}",
            width="content",
            help="They missed three signs of life and never said that they stop: lost, cut off or frozen. What they "
            "trained goes on elsewhere. They are listed for an hour.",
        )
        st.metric("Epochs per second", f"{sum(row.speed for row in alive):.3g}", width="content", help="All together.")
        st.metric("Stages queued", "—" if queued is None else f"{queued:,}", width="content")


@st.fragment(run_every=REFRESH)
def listing() -> None:
    """Show all workers as they are now."""
    if not access.is_owner():
        st.rerun()
    known, trouble = live.known_workers()
    if trouble is not None:
        st.error(f"{words.plain(trouble)}. This page goes on trying.", icon=":material/cloud_off:")
        return
    if not known:
        with st.container(border=True, key="workers_empty"):
            st.subheader("No worker is running", anchor=False)
            st.markdown("Studies wait in the queue until one starts.")
            how_to_start()
        return
    hosts = worker_rows.by_host(known)
    numbers(hosts)
    left = MOST
    for host in hosts:
        if left > 0:
            worker_rows.draw(host, left)
        left -= len(host.rows)
    if left < 0:
        st.caption(f"{words.plural(-left, 'more worker')} not listed; the numbers above count them too.")
    with st.expander("Start more workers", icon=":material/add:", key="workers_more"):
        how_to_start()


def page() -> None:
    """Draw the page."""
    chart.still()
    st.html(
        "<style>[class*='st-key-worker-'] {border-top: 1px solid rgba(128, 128, 128, .3); padding-top: .6rem;}</style>"
    )
    st.title("Workers", anchor=False)
    listing()


access.require_owner()
page()
