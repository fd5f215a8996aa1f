"""The fields of the New study form: one widget for each field of a study, with help and the field's error below it.

Help stands below its field, since Streamlit's help is a button that everybody would have to pass with the Tab key.
"""

import re
from collections.abc import Callable, Collection, Mapping

import streamlit as st

from app import words
from app.new_study import typed
from app.new_study.draft import (
    CHOICES,
    FOLDER,
    ORIGIN,
    PARTS,
    Draft,
    check,
    costs,
    description,
    fields,
    untrained,
)
from app.new_study.preview import CheckedForm
from data.datasets.registry import DATASETS
from engine.registry import NETWORKS, PRUNERS, STARTS, Network, Pruner, Start

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
    FOLDER: "none, or /path/to/images",
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
# The fields that decide how much is trained; the page has them before all others.
ESSENTIAL = ("learning_rates", "seeds", "sparsities", "recipe.epochs")
_PAUSE = f"{typed.PAUSE}ms"
FOLDER_HELP = "A path on this machine with train/<class>/ and test/<class>/ inside, all images square and of one size."
# The help of these fields is a list of their choices, or would repeat the label.
_WITHOUT_DESCRIPTION = (*CHOICES, "name")

Widget = Callable[[], None]


def key(name: str) -> str:
    """Return the session key of a field's widget."""
    return f"field-{name.replace('.', '-')}"


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
    return {name: st.session_state.get(key(name), ()) for name in [*fields(), FOLDER, PARTS, ORIGIN]}


def draw_essentials(checked: CheckedForm) -> None:
    """Draw the fields that decide how much is trained; the others are `draw_others`."""
    typed.describe_fields()
    for column, name in zip(st.columns(len(ESSENTIAL)), ESSENTIAL, strict=True):
        with column:
            _text(name, checked)


def draw_others(checked: CheckedForm) -> None:
    """Draw all fields but the essential ones."""
    _text("name", checked)
    _with(
        "note",
        checked,
        lambda: st.text_area(LABELS["note"], key=key("note"), height=100, max_chars=2000, persist_state="session"),
    )
    _pair(lambda: _datasets(checked), lambda: _networks(checked))
    _pills("pruners", PRUNERS, words.pruner, checked)
    _pills("starts", STARTS, words.start, checked)
    with st.expander("What each of these is", key="choices_about", type="compact"):
        tables: tuple[Mapping[str, Network | Pruner | Start], ...] = (NETWORKS, PRUNERS, STARTS)
        lines = [f"- **{source.title}**: {source.description}" for source in DATASETS.values()]
        lines += [f"- **{entry.title}**: {entry.about}" for table in tables for entry in table.values()]
        lines += [f"- **{family.pattern}**: {family.about}" for family in NETWORKS.families]
        st.markdown("\n".join(lines))
    _parts()
    _pair(_field("round_rate", checked), _field("overlap_p", checked))
    _pair(lambda: _options("scope", checked), lambda: _folder(checked))
    _pair(_field("train_images", checked), _field("test_images", checked))
    _group("Recipe", "recipe", checked)
    _group("ADMM", "admm", checked)


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


def _group(title: str, group: str, checked: CheckedForm) -> None:
    names = [name for name in fields() if name.startswith(f"{group}.") and name not in ESSENTIAL]
    faults = sum(name in checked.errors for name in (group, *names))
    label = f"{title} :red-badge[{words.plural(faults, 'fault')}]" if faults else title
    with st.expander(label, key=f"group-{group}", expanded=faults > 0):
        _error(group, checked)
        for first in range(0, len(names), 3):
            for column, name in zip(st.columns(3), names[first : first + 3], strict=False):
                with column:
                    _options(name, checked) if name in OPTIONS else _text(name, checked)


def _pair(*widgets: Widget) -> None:
    for column, widget in zip(st.columns(2), widgets, strict=True):
        with column:
            widget()


def _field(name: str, checked: CheckedForm) -> Widget:
    return lambda: _text(name, checked)


def _with(name: str, checked: CheckedForm, widget: Callable[[], object], about: str | None = None) -> None:
    """Draw a widget with the error and the help of its field below it."""
    with st.container(key=f"with-{name.replace('.', '-')}", gap="xsmall"):
        widget()
        _error(name, checked)
        if text := _help(name) if about is None else about:
            st.caption(words.plain(text))


def _text(name: str, checked: CheckedForm, about: str | None = None) -> None:
    _with(
        name,
        checked,
        lambda: st.text_input(
            LABELS[name], key=key(name), placeholder=EMPTY.get(name), live=_PAUSE, persist_state="session"
        ),
        about,
    )


def _options(name: str, checked: CheckedForm) -> None:
    _with(
        name,
        checked,
        lambda: st.selectbox(
            LABELS[name],
            OPTIONS[name],
            format_func=lambda option: OPTION_NAMES.get(option, option),
            key=key(name),
            persist_state="session",
        ),
    )


def _pills(name: str, table: Mapping[str, Pruner | Start], naming: Callable[[str], str], checked: CheckedForm) -> None:
    _with(
        name,
        checked,
        lambda: st.pills(
            LABELS[name],
            list(table),
            selection_mode="multi",
            wrap=True,
            format_func=naming,
            key=key(name),
            persist_state="session",
        ),
    )


def _datasets(checked: CheckedForm) -> None:
    _several("datasets", list(DATASETS), words.dataset, "None of these", checked)


def _networks(checked: CheckedForm) -> None:
    _several("networks", list(NETWORKS), words.network, "Choose at least one", checked)


def _several(
    name: str, options: list[str], naming: Callable[[str], str], placeholder: str, checked: CheckedForm
) -> None:
    # Names of a family and of the Hugging Face Hub are typed. A loaded study may have them, and several folders, too.
    extra = [value for value in st.session_state[key(name)] if value not in options]
    _with(
        name,
        checked,
        lambda: st.multiselect(
            LABELS[name],
            [*options, *extra],
            # A page sends the text of a choice back, so what is typed must be its own text.
            format_func=lambda value: naming(value) if value in options else value,
            key=key(name),
            placeholder=placeholder,
            accept_new_options=True,
            persist_state="session",
        ),
    )


def _folder(checked: CheckedForm) -> None:
    _text(FOLDER, checked, FOLDER_HELP)


def _help(name: str) -> str:
    text, cost = "" if name in _WITHOUT_DESCRIPTION else description(name), costs(name)
    # A symbol of the paper, such as p, and names such as fp32 stay as they are.
    text = text if re.match(r"\w\b|[a-z]+\d", text) else text[:1].upper() + text[1:]
    return " ".join(f"{part}." for part in (text, f"Cost: {cost}" if cost else "") if part)


def _error(name: str, checked: CheckedForm) -> None:
    if name in checked.errors:
        field = name.replace(".", "-")
        with st.container(key=f"error-{field}", gap="xsmall"):
            st.markdown(f":small[:red[:material/error: {words.lines(checked.errors[name])}]]")
            if found := checked.offers.get(name):
                short = found.shown
                st.button(f"Use {words.plain(short)}", key=f"offer-{field}", on_click=_accept, args=(name, found.text))


def _accept(name: str, text: str) -> None:
    st.session_state[key(name)] = text
