"""The Overview tab: what the study answers in sentences, two charts and the verdicts."""

import pandas as pd
import streamlit as st

from app import words
from app.answer import sweep
from app.answer.answers import Answer, answers, at_words, summed_up, table, usual
from app.answer.sweep import Sweep
from app.charts.chart import Subject
from app.charts.points import near_p
from app.components import chart, divergence, verdict_cards
from app.components.sweep import gap_against_overlap, panels
from app.guide import tour
from app.guide.prose import prose
from app.state import address, queries
from app.state.cache import cached
from app.study import verdicts
from data.queries.studies import StudyRecord
from engine.claims import Thresholds


def body(record: StudyRecord) -> None:
    """Draw the tab."""
    study_id = record.study_id
    accuracy, diverged = queries.accuracy(study_id), queries.divergences(study_id)
    if accuracy.empty:
        divergence.nothing(diverged, "No training has finished yet. The answer appears here, and grows with each one.")
        return
    tour.show(record.study, study_id)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="overview_choices"):
        dataset, network = chart.place_choice(accuracy, "overview")
        subject = Subject(study_id, record.study.name, dataset, network)
        pruner, sparsity = _at(subject.rows(accuracy))
    p = near_p(record.study.overlap_p)
    # These are the arguments of the Verdicts tab, so that nothing is judged twice.
    judged, _ = verdicts.judged(study_id, dataset, network, Thresholds(), None, None)
    if sparsity is not None:
        _sentences(_answers(subject, pruner, sparsity, p))
    st.markdown(verdict_cards.badges(judged) or ":gray[These runs cannot judge a claim of the paper yet.]")
    divergence.note(diverged)
    if sparsity is None:
        st.info("No pruned network has finished yet.")
        return
    drawn = _sweep(subject, pruner, sparsity, p)
    if subject.rows(accuracy)["learning_rate"].nunique() > 1:
        left, right = st.columns(2, gap="large")
        with left:
            st.header("By learning rate", anchor=False)
            panels(drawn, at_words(pruner, sparsity), "sd", "overview")
    else:
        right = st.container(width=720)
    with right:
        st.header("Gap against overlap", anchor=False)
        gap_against_overlap(drawn, "overview")
        verdict_cards.missing(judged)


def _at(rows: pd.DataFrame) -> tuple[str, float | None]:
    """Return the pruner and the sparsity that the answer is about, which the reader can choose."""
    pruned = rows[rows["start"] != "dense"]
    pruners = [str(name) for name in dict.fromkeys(pruned["pruner"])]
    if not pruners:
        return "", None
    pruner = pruners[0]
    if len(pruners) > 1:
        key = address.one("overview_pruner", pruners)
        pruner = st.selectbox("Pruner", pruners, format_func=words.pruner, key=key, persist_state="page", width=210)
    sparsities = sorted(float(value) for value in pruned[pruned["pruner"] == pruner]["sparsity"].unique())
    near = usual(sparsities)
    if len(sparsities) < 2:
        return pruner, near
    index = sparsities.index(near)
    return pruner, st.selectbox(
        "Sparsity",
        sparsities,
        index,
        format_func=words.percent,
        key=address.one("overview_sparsity", sparsities, near),
        persist_state="page",
        width=130,
    )


def _sentences(found: list[Answer]) -> None:
    """Show the sentences of the learning rates, and below sums of several, the numbers of each."""
    summaries = summed_up(found)
    st.markdown("\n".join(f"- **{words.plain(part.lead)}**, {prose(part.rest)}" for part in summaries))
    if len(summaries) < len(found):
        opened = st.expander(
            f"Each of the {len(found)} learning rates", key="overview_each", on_change="rerun", type="compact"
        )
        if opened.open:
            with opened:
                chart.table(table(found), "overview_answers")


@cached(chart.subject_results, max_entries=32)
def _answers(subject: Subject, pruner: str, sparsity: float, p: float) -> list[Answer]:
    study_id = subject.study_id
    accuracy, pooled = queries.accuracy(study_id), queries.pooled_overlaps(study_id)
    return answers(subject.rows(accuracy), subject.rows(pooled), pruner, sparsity, p)


@cached(chart.subject_results, max_entries=32, shared=True)
def _sweep(subject: Subject, pruner: str, sparsity: float, p: float) -> Sweep:
    accuracy, pooled = queries.accuracy(subject.study_id), queries.pooled_overlaps(subject.study_id)
    return sweep.of_study(subject, subject.rows(accuracy), subject.rows(pooled), pruner, sparsity, p, "sd")
