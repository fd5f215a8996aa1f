"""CITATION.cff, the README and what the program says agree."""

import tomllib
from pathlib import Path

import yaml

from engine.paper import citation

ROOT = Path(__file__).parents[3]
CFF = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_the_citation_names_this_version_and_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert CFF["version"] == citation.VERSION
    assert "version" in project["dynamic"]
    assert CFF["license"] == project["license"] == "MIT"
    assert f"## {CFF['version']} ({CFF['date-released']})" in (ROOT / "CHANGELOG.md").read_text()
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")
    assert CFF["version"] in citation.tool()


def test_the_paper_is_cited_the_same_everywhere() -> None:
    [paper] = CFF["references"]
    # The README names the first author alone.
    names = [f"{author['given-names'][0]}. {author['family-names']}" for author in paper["authors"]]
    assert ", ".join(names) in citation.PAPER
    readme = " ".join((ROOT / "README.md").read_text().split())
    for text in (citation.PAPER, readme):
        assert paper["title"].lower() in text.lower()
        assert str(paper["year"]) in text
        assert paper["identifiers"][0]["value"] in text
