"""How many more seeds would decide a verdict, and a button that queues them."""

import streamlit as st

from app import words
from app.auth import access
from app.components import dialogs
from app.new_study import launch
from app.new_study.preview import preview_plan
from data.queries.studies import StudyRecord
from engine.claims import Verdict, need
from engine.errors import UserError
from engine.study.spec import to_toml, with_more_seeds


def offer(record: StudyRecord, verdict: Verdict, key: str) -> None:
    """Show below a verdict how many seeds would decide it, and to the owner the button that queues them."""
    needed = need(verdict)
    if needed is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"{key}-needs"):
        st.markdown(f":small[:gray[{words.plain(needed.sentence)}]]", width="content")
        if needed.more is None or not access.is_owner():
            return
        about = f"seeds {record.study_id} {key}"
        if dialogs.button(
            f"Add {words.plural(needed.more, 'seed')}", about, key=f"{key}-add", type="tertiary", icon=":material/add:"
        ):
            confirm(record, needed.more)


@st.dialog("Add seeds?", on_dismiss=dialogs.close)
def confirm(record: StudyRecord, more: int) -> None:
    """Show the plan of a study with more seeds, and launch it."""
    try:
        larger = with_more_seeds(record.study, more)
        with st.spinner("Planning…"):
            plan = preview_plan(to_toml(larger))
    except UserError as error:
        st.error(words.plain(str(error)))
        return
    added = [seed for seed in larger.seeds if seed not in record.study.seeds]
    st.markdown(
        f"A new study, **{words.plain(larger.name)}**, with {words.plural(more, 'more seed')} "
        f"({', '.join(map(str, added[:20]))}{', …' if len(added) > 20 else ''}). All that is trained already is reused."
    )
    launch.plan_numbers(plan, key="seeds_numbers")
    if st.button("Launch it", type="primary", icon=":material/rocket_launch:", key="seeds_yes", on_click=dialogs.close):
        launch.start(larger)
    launch.ask_again(larger)
    st.caption("The same from the command line")
    st.code(f"ticketscope verdicts {record.study_id} --add-seeds {more}", language="bash", wrap_lines=True)
