"""The dashboard's pages, which app/serve.py serves."""

import sys
from pathlib import Path

import streamlit as st

# Streamlit puts this file's folder on the path; the floors lie beside it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app.auth import access, unknown
from app.charts.palette import SCRIPT
from app.state import address, attention, audience, full_disk, script, turns
from engine.paper import citation

with turns.turn():
    st.set_page_config(
        page_icon=attention.icon(),
        layout="wide",
        menu_items={
            "About": "**Ticketscope**: is this winning ticket real? Lottery-ticket studies, side by side.\n\n"
            f"To cite it and the paper whose study it implements:\n\n- {citation.tool()}\n- {citation.PAPER}"
        },
    )
    st.logo(str(Path(__file__).with_name("logo.svg")), size="large")

    st.html(Path(__file__).with_name("style.css"))

    pages = [
        # Without a path of its own, Streamlit would refuse an address of the file's name.
        st.Page("views/studies.py", title="Studies", icon=":material/view_list:", default=True, url_path=""),
        st.Page("views/paper.py", title="Paper", icon=":material/menu_book:"),
        st.Page("views/compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page("views/new_study.py", title="New study", icon=":material/add_circle:"),
        st.Page("views/links.py", title="Shared links", icon=":material/share:"),
        st.Page("views/workers.py", title="Workers", icon=":material/memory:"),
        st.Page("views/glossary.py", title="Glossary", icon=":material/dictionary:"),
        st.Page("views/study.py", title="Study", visibility="hidden"),
        st.Page("views/figure.py", title="Figure", visibility="hidden"),
        st.Page("views/shared.py", title="Shared", visibility="hidden"),
    ]
    script.run("charts", SCRIPT)
    script.run("accessibility", Path(__file__).with_name("accessibility.js").read_text(encoding="utf-8"))
    access.arrive()
    if access.can_log_out():
        pages.append(st.Page(access.log_out, title="Log out", icon=":material/logout:", url_path="logout"))
    # The folder of the pages is not called pages, since Streamlit would serve the files of such a folder directly.
    # All pages are declared for every visitor, so that an address survives the login; except for the page of shared
    # links, only the owner sees and runs them.
    pages += unknown.page(pages)
    page = st.navigation(pages, position="top" if access.is_owner() else "hidden")
    if page.url_path not in ("", "study", "shared"):
        address.leave()
    # These two pages name their tab by what they show.
    if page.url_path != "shared" and not (page.url_path == "study" and access.is_owner()):
        attention.title(page.title)
    if page.url_path != "shared":
        access.require_owner()
        full_disk.warn()
    with audience.database_errors():
        page.run()
