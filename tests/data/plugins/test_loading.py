"""Plugins are loaded as a whole or not at all, and say in words and with their line what is wrong."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from data.datasets.registry import DATASETS
from data.plugins import apart, loading
from data.plugins.checks import TABLES
from data.settings import read_settings, settings
from engine.code import code_hash
from engine.registry import NETWORKS, PRUNERS, SCORES, STARTS, network_identity
from tests.plugged import EXAMPLES, forgotten, plug

NAMES = ("lenet5", "mlp", "movement", "halfway", "stripes")
NETWORK = """
from engine.registry import NETWORKS, Network
from torch import nn


def net(channels, image_size, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, classes))


"""


@pytest.fixture(autouse=True)
def unplugged(home: Path) -> Iterator[None]:
    del home
    with forgotten():
        yield


def written(path: Path, code: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(code), encoding="utf-8")
    return path


def test_a_file_adds_an_entry_that_is_known_by_its_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    [plugin] = plug(monkeypatch, EXAMPLES / "lenet5.py")
    assert (plugin.error, plugin.file) == ("", str(EXAMPLES / "lenet5.py"))
    assert NETWORKS["lenet5"].builder == "lenet5:lenet5"
    known = network_identity("lenet5")
    assert known == f"code {code_hash('lenet5:lenet5')}"
    assert [(entry.kind, entry.name, entry.identity) for entry in plugin.added] == [("network", "lenet5", known)]
    assert loading.load(settings()) == (plugin,)
    # Another host may have the file elsewhere, under a name that a module has there.
    with forgotten():
        TABLES["network"].data.pop("lenet5")
        loading._tried.clear()
        copy = tmp_path / "statistics.py"
        shutil.copy(EXAMPLES / "lenet5.py", copy)
        [moved] = plug(monkeypatch, copy)
        assert NETWORKS["lenet5"].builder == "plugin_statistics:lenet5"
        assert moved.added == plugin.added


def test_all_examples_load_as_files_and_as_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    with forgotten():
        files = plug(monkeypatch, *(EXAMPLES / f"{name}.py" for name in NAMES))
        assert [plugin.error for plugin in files] == [""] * len(NAMES)
    [package] = plug(monkeypatch, EXAMPLES)
    assert package.error == ""
    added = {(entry.kind, entry.name): entry.identity for entry in package.added}
    assert added == {(entry.kind, entry.name): entry.identity for plugin in files for entry in plugin.added}
    assert {"movement", "increase"} <= SCORES.keys() & PRUNERS.keys()
    assert "halfway" in STARTS
    # The arguments of a network are part of its identity.
    assert len({network_identity(f"mlp{depth}") for depth in (2, 3, 4)}) == 3
    assert DATASETS["stripes"].read == "examples.stripes:read"


BAD = {
    "NETWORKS['resnet20'] = Network('Mine', net)": "is Ticketscope's; give yours another name",
    "NETWORKS['wide_resnet16_4'] = Network('Mine', net)": "is Ticketscope's",
    "NETWORKS['other'] = Network('Mine', net)": "is the plugin other.py's; give yours another name",
    "NETWORKS['my net'] = Network('Mine', net)": "cannot be named so; allowed: a lower-case letter, then",
    "NETWORKS['mine'] = net": "is a function; give a Network",
    "NETWORKS['mine'] = Network('ResNet-20', net)": "has the title of resnet20",
    "NETWORKS['mine'] = Network('', net)": "give one of 1 to 60 characters",
    "NETWORKS['mine'] = Network('Mine', lambda c, s, k: None)": "is a lambda, which workers cannot import; define it",
    "NETWORKS['mine'] = Network('Mine', 'nowhere:net')": "there is no module nowhere",
    "NETWORKS['mine'] = Network('Mine', net, version=0)": "has 0 as version; give a whole number of 1 or more",
    "del NETWORKS['resnet20']": "is Ticketscope's",
    "from engine.registry import Pruner, PRUNERS; PRUNERS['mine'] = Pruner('Mine', score='magnitud')": (
        "has 'magnitud' as score, which does not exist; did you mean magnitude? Allowed: magnitude, random"
    ),
    "from engine.registry import Pruner, PRUNERS; PRUNERS['mine'] = Pruner('Mine', resets_to='dense')": (
        "has 'dense' as resets_to, which does not exist"
    ),
    "from engine.registry import Start, STARTS; STARTS['dense'] = Start('Mine', net)": "is Ticketscope's",
    "from engine.registry import Score, SCORES; SCORES['mine'] = Score(net, needs='movement')": "needs 'movement'; al",
    "import nowhere": "No module named 'nowhere'; install it for",
    "1 / 0": "ZeroDivisionError: division by zero",
    "def broken(:": "SyntaxError",
    "raise SystemExit": "it ends the program",
}


@pytest.mark.parametrize("line", BAD)
def test_a_plugin_that_fails_costs_only_itself_and_says_the_line(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = written(tmp_path / "other.py", f"{NETWORK}NETWORKS['other'] = Network('Other', net)")
    bad = written(tmp_path / "bad.py", f"{NETWORK}NETWORKS['first'] = Network('First', net)\n{line}\n")
    plugins = plug(monkeypatch, other, bad)
    good, failed = plugins
    assert (good.error, NETWORKS["other"].title) == ("", "Other")
    assert BAD[line].replace("other.py", str(other)) in failed.error
    assert (failed.file, failed.line) == (str(bad), bad.read_text().count("\n"))
    assert not {"first", "mine", "my net"} & NETWORKS.keys()
    assert {"resnet20", "lenet300"} <= NETWORKS.keys()
    assert "bad" not in sys.modules
    [sentence] = loading.sentences(plugins)
    assert sentence == f"the plugin {bad} is not loaded: {bad}, line {failed.line}: {failed.error}"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("./nowhere.py", "nowhere.py does not exist; give a Python file"),
        ("./empty", "is a folder without __init__.py"),
        ("./notes.txt", "is no Python file"),
        ("no.such.module", "there is no module no.such.module here; install it for"),
        ("my-module", "is neither a path nor the name of a module"),
    ],
)
def test_a_name_without_a_plugin_is_explained(
    name: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    [plugin] = plug(monkeypatch, name)
    assert error in plugin.error
    assert plugin.line is None


def test_a_package_may_import_its_own_parts_in_either_way_and_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "labs_own"
    written(package / "__init__.py", "from labs_own import nets\n")
    written(
        package / "nets.py",
        NETWORK.replace("def net", "from .parts import WIDTH\nfrom lab_beside import widen\n\n\ndef net").replace(
            "return ", "return widen(WIDTH) or "
        )
        + "NETWORKS['labs'] = Network('Labs', net)\n",
    )
    written(package / "parts.py", "WIDTH = 0\n")
    written(tmp_path / "lab_beside.py", "def widen(width):\n    return width\n")
    [plugin] = plug(monkeypatch, package)
    assert plugin.error == ""
    hashes = [code_hash(NETWORKS["labs"].builder)]
    for file, text in (
        (package / "parts.py", "WIDTH = False\n"),
        (tmp_path / "lab_beside.py", "def widen(w):\n    return w\n"),
    ):
        file.write_text(text)
        hashes.append(code_hash(NETWORKS["labs"].builder))
    assert len(set(hashes)) == 3


def test_an_installed_package_brings_its_plugin_along_and_is_hashed_as_if_it_lay_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "lib" / "site-packages"
    code = NETWORK.replace("def net", "import lab_neighbour\n\n\ndef net").replace(
        "return ", "return lab_neighbour.none or "
    )
    written(site / "lab_nets.py", code + "NETWORKS['labs'] = Network('Labs', net)\n")
    neighbour = written(site / "lab_neighbour.py", "none = None\n")
    written(site / "lab_nets-1.0.dist-info" / "entry_points.txt", "[ticketscope.plugins]\nlabs = lab_nets\n")
    written(site / "lab_nets-1.0.dist-info" / "METADATA", "Metadata-Version: 2.1\nName: lab-nets\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))
    [plugin] = plug(monkeypatch)
    assert (plugin.name, plugin.error) == ("labs (lab_nets)", "")
    known = code_hash("lab_nets:net")
    # What lies beside it there is installed, and no part of it.
    neighbour.write_text("none = False\n")
    assert code_hash("lab_nets:net") == known
    # It is named by both the setting and its entry point, and loaded once.
    assert plug(monkeypatch, "lab_nets") == (plugin,)


def test_relative_paths_are_those_of_the_folder_or_of_the_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TICKETSCOPE_PLUGINS", "nets.py, lab.networks:../other")
    assert read_settings().plugin_names == (f"{tmp_path}/nets.py", "lab.networks", f"{tmp_path.parent}/other")
    monkeypatch.delenv("TICKETSCOPE_PLUGINS")
    file = written(tmp_path / "etc" / "settings.toml", 'plugins = "nets.py, ~/mine.py, lab.networks"')
    monkeypatch.setenv("TICKETSCOPE_CONFIG", str(file))
    assert read_settings().plugin_names == (f"{tmp_path}/etc/nets.py", os.path.expanduser("~/mine.py"), "lab.networks")  # noqa: PTH111


def test_a_process_without_pytorch_learns_what_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert apart.faults(settings()) == []
    bad = written(tmp_path / "bad.py", "print('not JSON')\n1 / 0\n")
    monkeypatch.setenv("TICKETSCOPE_PLUGINS", str(bad))
    settings.cache_clear()
    [sentence] = apart.faults(settings())
    assert sentence.endswith(f"{bad}, line 2: ZeroDivisionError: division by zero")


def test_nothing_is_imported_where_there_are_no_plugins() -> None:
    script = (
        "import sys; from data.settings import settings; from data.plugins.loading import load; "
        "print(load(settings()), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["()", "False"]
