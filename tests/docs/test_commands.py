"""The commands in README and the documentation name modules, options, targets and variables that exist."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from docs.generator.__main__ import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = {"benchmarks", "docs", "export", "loadtest", "service", "training"}
_BLOCK = re.compile(r"^```(?:sh|bash|console)?\n(.*?)^```|((?:^(?: {4}|\t).*\n)+)", re.M | re.S)
_PYTHON = re.compile(r"\bpython3? -m ([\w.]+)((?:[ \t]+[^\s#|&>;)`]+)*)")
_MAKE = re.compile(r"(?:^|[;&]\s*|\$ )make((?:[ \t]+[\w=./-]+)*)", re.M)
_VARIABLE = re.compile(r"\b(ATTENDANT_\w+)=")


def commands(page: Path) -> Iterator[str]:
    """Yield the code blocks of a page, with continued lines joined."""
    for fenced, indented in _BLOCK.findall(page.read_text("utf-8")):
        yield re.sub(r"\\\n\s*", "", re.sub(r"^(?: {4}|\t)", "", fenced or indented, flags=re.M))


def file_of(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def options_of(folder: Path) -> frozenset[str]:
    """Return all strings in the modules of a folder that look like options."""
    trees = [ast.parse(file.read_text("utf-8")) for file in folder.glob("*.py")]
    strings = {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    return frozenset(one for one in strings if isinstance(one, str) and one.startswith("--"))


def python_commands() -> Iterator[tuple[str, str, str]]:
    for page in PAGES:
        for block in commands(page):
            for module, words in _PYTHON.findall(block):
                if module.partition(".")[0] in OURS:
                    yield page.name, module, words


def test_modules_and_their_options_exist() -> None:
    found = list(python_commands())
    assert len(found) > 60
    faults = []
    for page, module, words in found:
        file = file_of(module)
        if not file.is_file():
            faults.append(f"{page}: python -m {module}")
            continue
        folders = {file.parent, *file.parent.glob("*/")} if file.name == "__main__.py" else {file.parent}
        known = frozenset().union(*map(options_of, folders), {"--help"})
        used = {re.split(r"[=\]]", word.lstrip("["))[0] for word in words.split() if word.lstrip("[").startswith("--")}
        faults += [f"{page}: python -m {module} {option}" for option in sorted(used - known)]
    assert faults == []


def test_targets_and_variables_of_make_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.M))
    variables = set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", makefile))
    found = [(page.name, words.split()) for page in PAGES for block in commands(page) for words in _MAKE.findall(block)]
    assert len(found) > 15
    faults = []
    for page, words in found:
        names = {word for word in words if "=" not in word and not word.startswith("-")}
        given = {word.partition("=")[0] for word in words if "=" in word}
        faults += [f"{page}: make {name}" for name in sorted(names - targets)]
        faults += [f"{page}: make {name}=" for name in sorted(given - variables) if name.isupper()]
    assert faults == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_exist(page: Path) -> None:
    documented = set(re.findall(r"ATTENDANT_\w+", (ROOT / "docs" / "configuration.md").read_text("utf-8")))
    used = {name for block in commands(page) for name in _VARIABLE.findall(block)}
    assert used <= documented
