"""Links, file names and commands that README.md and docs/ mention exist."""

import re
from pathlib import Path

import pytest

from docs.generator.__main__ import ROOT, pages

LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
PATH = re.compile(r"`((?:service|training|export|loadtest|benchmarks|deploy|docs|tests|models)/[\w./-]*)`")
EXAMPLES = {"models/support", "models/numbers", "models/support/MODEL_CARD.md", "docs/figures/NAME.json", "models/NAME"}
MODULE = re.compile(r"-m ((?:service|training|export|loadtest|benchmarks|docs)(?:\.\w+)*)")
TEST = re.compile(r"`((?:native/|open_inference/)?test_\w+\.py)`")
TARGET = re.compile(r"^(?: {4}|.*`)make ((?:[a-z-]+ ?)+)", re.M)
PAGES = [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(page.read_text("utf-8")):
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(f"{target}#{anchor}" if anchor else target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_modules_and_targets_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    missing = [path for path in PATH.findall(text) if path not in EXAMPLES and not (ROOT / path).exists()]
    for module in MODULE.findall(text):
        path = ROOT / module.replace(".", "/")
        if not path.with_suffix(".py").is_file() and not (path / "__main__.py").is_file():
            missing.append(module)
    tests = ROOT / "tests" / "service" / "api"
    missing += [name for name in TEST.findall(text) if not (tests / name).is_file() and page.name == "api.md"]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for words in TARGET.findall(text):
        missing += [f"make {word}" for word in words.split() if not re.search(rf"^{word}:", makefile, re.M)]
    assert missing == []


def test_types_of_the_architecture_page_are_defined_where_it_says() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| \d* ?\| `(\w+)` \| `([\w/.]+)` \|", text, re.M)
    assert len(rows) == 11
    assert [name for name, path in rows if f"class {name}" not in (ROOT / path).read_text("utf-8")] == []
