"""The documents name files that are there, and their links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PACKAGES = ("edge", "models", "train", "calibrate", "tests", "systemd", "docs")
FENCED = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)


def text_of(document: Path) -> str:
    """A document without its blocks of code."""
    return FENCED.sub("", document.read_text(encoding="utf-8"))


def anchors(document: Path) -> set[str]:
    """What GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.*)$", text_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_of_the_repository_that_is_named_is_there(document: Path) -> None:
    if document.name == "CHANGELOG.md":
        return  # tells of files as they were
    named = set(re.findall(r"`((?:" + "|".join(PACKAGES) + r")/[\w./-]+)`", text_of(document)))
    patterns = {name for name in named if "NAME" in name}
    assert [name for name in sorted(named - patterns) if not (ROOT / name).exists()] == []


def test_the_architecture_names_functions_that_are_there() -> None:
    """In its tables of hops the second column names files, and the third functions and methods in them."""
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| ([^|]+) \|$", text_of(ROOT / "docs/architecture.md"), re.MULTILINE)
    hops = [row for row in rows if re.fullmatch(r"`[^`]+\.py`(, `[^`]+\.py`)*", row[0])]
    assert len(hops) > 25
    for files, functions in hops:
        source = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in re.findall(r"`([^`]+)`", files))
        for name in re.findall(r"`([\w.]+)`", functions):
            for each in name.split("."):
                assert re.search(rf"\b(def|class) {each}\b", source), f"{name} is not in {files}"


def test_sections_of_the_methods_that_code_cites_are_there() -> None:
    headings = set(re.findall(r"^## (.*)$", text_of(ROOT / "docs/methods.md"), re.MULTILINE))
    sources = [path for package in (*PACKAGES[:4], "tests") for path in (ROOT / package).rglob("*.py")]
    cited = {
        heading: path
        for path in sources
        for heading in re.findall(r'docs/methods\.md,\s+(?:# )?"([^"]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(cited) > 4
    assert cited.keys() <= headings, {heading: cited[heading] for heading in cited.keys() - headings}
