"""The fields of the New study form: one widget for each field of a study, with the field's error below it."""

from collections.abc import Callable, Collection, Mapping

import streamlit as st

from app import words
from app.new_study import typed
from app.new_study.draft import CHOICES, FOLDER, PARTS, Draft, check, costs, description, draft_of, fields, untrained
from data.datasets.registry import DATASETS
from engine.registry import NETWORKS, PRUNERS, STARTS, Network, Pruner, Start
from engine.study.spec import Study

LABELS: dict[str, str] = {
    "name": "Name",
    "note": "Note",
    "datasets": "Datasets",
    FOLDER: "Folder of images",
    "train_images": "Training images",
    "test_images": "Test images",
    "networks": "Networks",
    "learning_rates": "Learning rates",
    "seeds": "Seeds",
    "pruners": "Pruners",
    "starts": "Starts",
    "sparsities": "Sparsities",
    "round_rate": "Rate per round",
    "overlap_p": "p of the overlap ratio",
    "scope": "Prune by",
    "recipe.epochs": "Epochs, T",
    "recipe.batch_size": "Batch size",
    "recipe.momentum": "Momentum",
    "recipe.weight_decay": "Weight decay",
    "recipe.milestones": "Milestones",
    "recipe.decay": "Decay at milestones",
    "recipe.augmentation": "Augmentation",
    "recipe.precision": "Precision",
    "recipe.rewind_epoch": "Rewind epoch, k",
    "admm.rho": "Constant ρ",
    "admm.rounds": "Rounds",
    "admm.period": "Epochs per round",
    "admm.rho_start": "First ρ",
    "admm.rho_end": "Last ρ",
}
EMPTY: dict[str, str] = {
    "train_images": "all",
    "test_images": "all",
    "round_rate": "a round for each sparsity",
    "recipe.rewind_epoch": "10/150 of T",
    "admm.rho": "automatic",
    "admm.rho_start": "automatic",
    "admm.rho_end": "automatic",
}
OPTIONS: dict[str, tuple[str, ...]] = {
    "scope": ("layer", "global"),
    "recipe.augmentation": ("crop_flip", "crop", "flip", "none"),
    "recipe.precision": ("fp32", "bf16", "auto"),
}
OPTION_NAMES: dict[str, str] = {
    "layer": "each layer alike",
    "global": "all layers together",
    "crop_flip": "crop and flip",
}
_PAUSE = f"{typed.PAUSE}ms"
FOLDER_HELP = "A path on this machine with train/<class>/ and test/<class>/ inside, all images square and of one size."

Errors = Mapping[str, str]


def key(name: str) -> str:
    """Return the session key of a field's widget."""
    return f"field-{name.replace('.', '-')}"


def load(study: Study) -> None:
    """Fill in the form from a study."""
    fill(draft_of(study))


def fill(content: Draft) -> None:
    """Fill in the form from a draft; choices that are unknown here, as in a draft of another version, are left out."""
    known: dict[str, Collection[str]] = {"networks": NETWORKS, "pruners": PRUNERS, "starts": STARTS, **OPTIONS}
    for name, value in content.items():
        if name in CHOICES and name in known:
            value = [choice for choice in value if choice in known[name]]
        elif name in OPTIONS and value not in known[name]:
            continue
        st.session_state[key(name)] = value


def is_filled() -> bool:
    """Return whether the form was filled in before in this session."""
    return key("name") in st.session_state


def draft() -> Draft:
    """Return the form's content."""
    return {name: st.session_state.get(key(name), ()) for name in [*fields(), FOLDER, PARTS]}


def draw(errors: Errors) -> None:
    """Draw all fields; errors: messages by field."""
    _text("name", errors)
    st.text_area(
        LABELS["note"], key=key("note"), help=_help("note"), height=100, max_chars=2000, persist_state="session"
    )
    _error("note", errors)
    _pair(lambda: _datasets(errors), lambda: _networks(errors))
    _pair(lambda: _folder(errors), lambda: _pair(_field("train_images", errors), _field("test_images", errors)))
    _pair(_field("learning_rates", errors), _field("seeds", errors))
    _pills("pruners", PRUNERS, words.pruner, errors)
    _pills("starts", STARTS, words.start, errors)
    _pair(_field("sparsities", errors), _field("round_rate", errors))
    _parts()
    _pair(lambda: _options("scope", errors), _field("overlap_p", errors))
    _group("Recipe", "recipe", errors)
    _group("ADMM", "admm", errors)


def _parts() -> None:
    """List the study's parts, if it does not train all combinations of its values."""
    study = check(draft()).study
    if study is None or not study.parts:
        return
    with st.container(border=True, key="parts", gap="small"):
        st.markdown(f"It trains **{words.plural(len(study.parts), 'part')}** of all combinations of these values:")
        st.markdown("\n".join(f"- {words.plain(words.compares(part.model_dump()))}" for part in study.products))
        if missing := untrained(study):
            named = [f"{LABELS[name].lower()} {', '.join(map(str, values))}" for name, values in missing.items()]
            st.markdown(
                f":small[:orange[:material/warning: Not trained, as no part has it: {words.plain('; '.join(named))}]]"
            )
        st.button("Train all combinations", key="parts_drop", on_click=_drop_parts)


def _drop_parts() -> None:
    st.session_state[key(PARTS)] = []


def _group(title: str, group: str, errors: Errors) -> None:
    faults = sum(name == group or name.startswith(f"{group}.") for name in errors)
    label = f"{title} :red-badge[{words.plural(faults, 'problem')}]" if faults else title
    with st.expander(label, key=f"group-{group}", expanded=faults > 0):
        _error(group, errors)
        names = [name for name in fields() if name.startswith(f"{group}.")]
        for first in range(0, len(names), 3):
            for column, name in zip(st.columns(3), names[first : first + 3], strict=False):
                with column:
                    _options(name, errors) if name in OPTIONS else _text(name, errors)


def _pair(*widgets: Callable[[], None]) -> None:
    for column, widget in zip(st.columns(2), widgets, strict=True):
        with column:
            widget()


def _field(name: str, errors: Errors) -> Callable[[], None]:
    return lambda: _text(name, errors)


def _text(name: str, errors: Errors) -> None:
    st.text_input(
        LABELS[name], key=key(name), help=_help(name), placeholder=EMPTY.get(name), live=_PAUSE, persist_state="session"
    )
    _error(name, errors)


def _options(name: str, errors: Errors) -> None:
    st.selectbox(
        LABELS[name],
        OPTIONS[name],
        format_func=lambda option: OPTION_NAMES.get(option, option),
        key=key(name),
        help=_help(name),
        persist_state="session",
    )
    _error(name, errors)


def _pills(name: str, table: Mapping[str, Pruner | Start], naming: Callable[[str], str], errors: Errors) -> None:
    st.pills(
        LABELS[name],
        list(table),
        selection_mode="multi",
        wrap=True,
        format_func=naming,
        key=key(name),
        help=_about(table),
        persist_state="session",
    )
    _error(name, errors)


def _about(table: Mapping[str, Pruner | Start | Network]) -> str:
    return "  \n".join(f"**{entry.title}**: {entry.about}" for entry in table.values())


def _datasets(errors: Errors) -> None:
    # A loaded study may have several folders, of which the form's line holds the first.
    extra = [name for name in st.session_state[key("datasets")] if name not in DATASETS]
    about = "  \n".join(f"**{source.title}**: {source.description}" for source in DATASETS.values())
    st.multiselect(
        LABELS["datasets"],
        [*DATASETS, *extra],
        format_func=lambda name: DATASETS[name].title if name in DATASETS else name,
        key=key("datasets"),
        help=about,
        placeholder="None of these",
        persist_state="session",
    )
    _error("datasets", errors)


def _networks(errors: Errors) -> None:
    st.multiselect(
        LABELS["networks"],
        list(NETWORKS),
        format_func=words.network,
        key=key("networks"),
        help=_about(NETWORKS),
        placeholder="Choose at least one",
        persist_state="session",
    )
    _error("networks", errors)


def _folder(errors: Errors) -> None:
    st.text_input(
        LABELS[FOLDER],
        key=key(FOLDER),
        help=FOLDER_HELP,
        placeholder="none, or /path/to/images",
        live=_PAUSE,
        persist_state="session",
    )
    _error(FOLDER, errors)


def _help(name: str) -> str:
    text, cost = description(name), costs(name)
    return text[:1].upper() + text[1:] + (f". Cost: {cost}." if cost else "")


def _error(name: str, errors: Errors) -> None:
    if name in errors:
        with st.container(key=f"error-{name.replace('.', '-')}"):
            st.markdown(f":small[:red[:material/error: {words.lines(errors[name])}]]")
