"""The house is as the table says: which room may import what, and the service runs without torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TRAINING_TOOLS = {"torch", "onnx", "onnxscript", "datasets", "safetensors", "sacrebleu", "tensorboard", "matplotlib"}
WEB = {"fastapi", "starlette", "uvicorn", "pydantic_settings", "prometheus_client"}
SESSION = Path("service/engine/models/session.py")


@dataclass(frozen=True)
class Room:
    """What a room may import of the other rooms, and which outside packages it never imports."""

    rooms: frozenset[str]
    never: frozenset[str]


def room(rooms: set[str], never: set[str]) -> Room:
    return Room(frozenset(rooms), frozenset(never))


HOUSE = {
    "training": room(set(), {"onnx", "onnxscript", "onnxruntime", "locust"} | WEB),
    "export": room({"training", "service.artifact", "service.engine"}, {"locust"} | WEB),
    "service": room(set(), {"locust", "httpx"} | TRAINING_TOOLS),
    "loadtest": room(set(), {"onnxruntime", "tokenizers"} | WEB | TRAINING_TOOLS),
    "deploy": room({"service"}, set()),
    "benchmarks": room({"training", "export", "service", "loadtest", "deploy"}, set()),
    "tests": room({"training", "export", "service", "loadtest", "benchmarks", "deploy"}, set()),
}


def under(name: str, prefixes: frozenset[str] | set[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def imports(file: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of every import, those inside functions and import_module("...") included."""
    package = file.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = [*package[: len(package) - level + 1], module] if level else [module]
                yield from ((node.lineno, ".".join([*filter(None, base), alias.name])) for alias in names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def faults(root: Path) -> list[str]:
    """Every import that breaks the table, as file:line: reason."""
    found = []
    for name, rules in HOUSE.items():
        for file in sorted((root / name).rglob("*.py")):
            path = file.relative_to(root)
            for line, target in imports(file, root):
                top = target.partition(".")[0]
                if top in HOUSE and top != name and not under(target, rules.rooms):
                    found.append(f"{path}:{line}: {name}/ may not import {target}")
                elif top in rules.never:
                    found.append(f"{path}:{line}: {name}/ never imports {top}")
                elif top == "onnxruntime" and name not in {"benchmarks", "tests"} and path != SESSION:
                    found.append(f"{path}:{line}: only {SESSION} imports onnxruntime")
    return found


def test_every_import_keeps_to_the_table() -> None:
    assert faults(ROOT) == []


def test_every_folder_with_code_is_a_room() -> None:
    folders = {file.relative_to(ROOT).parts[0] for file in ROOT.glob("[!._]*/**/*.py")}
    assert folders - {"build", "runs", "artifacts", "data"} <= HOUSE.keys()


@pytest.mark.parametrize(
    ("path", "code", "fault"),
    [
        (
            "training/trainer.py",
            "import export.graphs",
            "training/trainer.py:1: training/ may not import export.graphs",
        ),
        ("training/trainer.py", "import numpy\nimport onnx", "training/trainer.py:2: training/ never imports onnx"),
        (
            "export/a.py",
            "from service.api import native",
            "export/a.py:1: export/ may not import service.api.native",
        ),
        ("export/a.py", "from service import api", "export/a.py:1: export/ may not import service.api"),
        ("export/a.py", "import service", "export/a.py:1: export/ may not import service"),
        ("export/a.py", "import fastapi", "export/a.py:1: export/ never imports fastapi"),
        (
            "export/a.py",
            "import onnxruntime",
            "export/a.py:1: only service/engine/models/session.py imports onnxruntime",
        ),
        ("service/a.py", "def f():\n    import torch.nn", "service/a.py:2: service/ never imports torch"),
        (
            "service/a.py",
            "import importlib as i\ni.import_module('onnx')",
            "service/a.py:2: service/ never imports onnx",
        ),
        ("service/a.py", "__import__('torch')", "service/a.py:1: service/ never imports torch"),
        (
            "service/api/a.py",
            "from ...training import trainer",
            "service/api/a.py:1: service/ may not import training.trainer",
        ),
        ("service/api/a.py", "from ..engine import session", None),
        (
            "service/api/a.py",
            "from onnxruntime import a",
            "service/api/a.py:1: only service/engine/models/session.py imports onnxruntime",
        ),
        ("service/engine/models/session.py", "import onnxruntime", None),
        (
            "loadtest/users.py",
            "from service.artifact import A",
            "loadtest/users.py:1: loadtest/ may not import service.artifact.A",
        ),
        (
            "export/a.py",
            "import benchmarks.offline.translate",
            "export/a.py:1: export/ may not import benchmarks.offline.translate",
        ),
        ("export/a.py", "from service.artifact import Manifest\nfrom training import models\nimport onnx, torch", None),
    ],
)
def test_the_walk_sees(path: str, code: str, fault: str | None, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(code, encoding="utf-8")
    assert faults(tmp_path) == ([] if fault is None else [fault])


def run_without_training(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code in a fresh interpreter in which everything that the service must not need cannot be imported."""
    banned = {*HOUSE["service"].never, *HOUSE} - {"service"}
    hide = f"import sys\nsys.modules.update(dict.fromkeys({sorted(banned)}))\n"
    return subprocess.run([sys.executable, "-c", hide + code], cwd=ROOT, text=True, capture_output=True)


def test_the_service_imports_without_torch() -> None:
    result = run_without_training("import service.__main__, service.engine.process.__main__")
    assert result.returncode == 0, result.stderr


def test_who_reads_requests_has_no_runtime_for_graphs() -> None:
    result = run_without_training("sys.modules['onnxruntime'] = None\nimport service.__main__")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("module", ["torch", "onnx", "training.trainer", "export", "httpx"])
def test_what_is_hidden_cannot_be_imported(module: str) -> None:
    result = run_without_training(f"import {module}")
    assert result.returncode != 0
    assert "ModuleNotFoundError" in result.stderr
