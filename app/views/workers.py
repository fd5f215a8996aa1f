"""Workers: the live and the silent ones by host, what each trains and how fast."""

import streamlit as st

from app import words
from app.auth import access
from app.components import chart, worker_rows
from app.components.worker_rows import Host
from app.state import live, plugins
from data.settings import settings

REFRESH = 2.0
# The most rows of workers that are drawn, since hundreds would slow down a browser.
MOST = 120

HERE = "ticketscope worker"
ELSEWHERE = """\
export REDIS_URL=rediss://:PASSWORD@redis.example:6379/0
export TICKETSCOPE_ARTIFACTS=s3://bucket/prefix
ticketscope worker"""


def how_to_start() -> None:
    """Say how to start workers on this machine and on other hosts."""
    st.markdown("On this machine, one for each GPU, or one for each core if it has no GPU:")
    st.code(HERE, language=None)
    st.markdown("On any other host that reaches the same Redis and the same artifact store:")
    st.code(ELSEWHERE, language=None)
    if settings().redis_url is None:
        st.caption(
            "This installation uses a Redis of its own, which only this machine reaches. For workers on other hosts, "
            "run a Redis with a password that they reach, and set `REDIS_URL` on all hosts, also for this dashboard."
        )


def numbers(hosts: list[Host]) -> None:
    """Show the number of workers in each state, their total speed, and the number of queued stages."""
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
            help="They missed three heartbeats without announcing that they stop: they crashed, hang or lost their "
            "connection. Other workers resume their stages. They are listed for an hour.",
        )
        st.metric(
            "Epochs per second", f"{sum(row.speed for row in alive):.3g}", width="content", help="All workers together."
        )
        st.metric("Stages queued", "—" if queued is None else f"{queued:,}", width="content")


@st.fragment(run_every=REFRESH)
def listing() -> None:
    """Show all workers, refreshed every REFRESH seconds."""
    if not access.is_owner():
        st.rerun()
    known, trouble = live.known_workers()
    if trouble is not None:
        st.error(f"{words.plain(trouble)}. This page keeps trying.", icon=":material/cloud_off:")
        return
    if not known:
        with st.container(border=True, key="workers_empty"):
            st.header("No worker is running", anchor=False)
            st.markdown("Studies wait in the queue until one starts.")
            how_to_start()
        return
    hosts = worker_rows.by_host(known)
    numbers(hosts)
    capacity = MOST
    for host in hosts:
        if capacity > 0:
            worker_rows.draw(host, capacity)
        capacity -= len(host.rows)
    if capacity < 0:
        st.caption(f"{words.plural(-capacity, 'more worker')} not listed; the numbers above count them too.")
    with st.expander("Start more workers", icon=":material/add:", key="workers_more"):
        how_to_start()


def page() -> None:
    """Draw the page."""
    chart.still()
    st.html(
        "<style>[class*='st-key-worker-'] {border-top: 1px solid rgba(128, 128, 128, .3); padding-top: .6rem;}</style>"
    )
    st.title("Workers", anchor=False)
    plugins.warn()
    listing()


access.require_owner()
page()
