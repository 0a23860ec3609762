"""The architecture: which package and which layer may import what, no import cycles, and a service without torch.

`python -m tests.import_graph` prints the import graph that is checked here.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.import_graph import (
    PACKAGES,
    ROOT,
    cycles,
    imports,
    levels,
    main,
    module_graph,
    packages_of,
    part_of,
    parts_graph,
    table,
)

TRAINING_TOOLS = {"torch", "onnx", "onnxscript", "datasets", "safetensors", "sacrebleu", "tensorboard", "matplotlib"}
WEB = {"fastapi", "starlette", "uvicorn", "pydantic_settings", "prometheus_client"}
SESSION = Path("service/engine/models/session.py")
LANGUAGE_CHECK = Path("training/autofit/language_check.py")  # runs the shipped language detector


@dataclass(frozen=True)
class Rules:
    """What a top-level package may import of the other packages, and which external packages it never imports."""

    allowed: frozenset[str]
    forbidden: frozenset[str]


def rules(allowed: set[str], forbidden: set[str]) -> Rules:
    return Rules(frozenset(allowed), frozenset(forbidden))


PACKAGE_RULES = {
    "training": rules(
        {"service.artifact", "service.engine.models.session"}, {"onnx", "onnxscript", "onnxruntime", "locust"} | WEB
    ),
    "export": rules(
        {"training", "service.artifact", "service.engine", "service.text.languages", "service.text.tokenizer"},
        {"locust"} | WEB,
    ),
    "service": rules(set(), {"locust", "httpx"} | TRAINING_TOOLS),
    "loadtest": rules(set(), {"onnxruntime", "tokenizers"} | WEB | TRAINING_TOOLS),
    "deploy": rules({"service"}, set()),
    "benchmarks": rules({"training", "export", "service", "loadtest", "deploy"}, set()),
    "docs": rules({"training", "service", "loadtest"}, WEB - {"pydantic_settings"}),
    "tests": rules({"training", "export", "service", "loadtest", "benchmarks", "deploy", "docs"}, set()),
}

SHARED = {"errors", "settings", "metrics", "artifact", "tracing"}
# The parts of service/, highest first, and what each may import of the others.
SERVICE_LAYERS = {
    "bulk": {"translation", "models", "engine", *SHARED},
    "__main__": {"app", "api", "http", "models", "engine", *SHARED},
    "app": {"api", "http", "documents", "glossaries", "translation", "models", "__version__", *SHARED},
    "api": {"http", "documents", "glossaries", "translation", "models", "engine", "text", *SHARED},
    "http": {"errors", "settings", "metrics", "tracing"},
    "documents": {"glossaries", "translation", "models", "text", *SHARED},
    "glossaries": {"translation", *SHARED},
    "translation": {"models", "engine", "text", *SHARED},
    "models": {"engine", "text", *SHARED},
    "tracing": {"engine.types", "__version__"},
    "metrics": {"engine.interfaces", "engine.types"},
    "engine": {"artifact"},
    "text": {"artifact"},
    "artifact": set[str](),
    "settings": set[str](),
    "errors": set[str](),
}
SERVICE_MODULES = {"__init__", "__main__", "app", "settings", "errors", "metrics", "artifact"}


def under(name: str, prefixes: frozenset[str] | set[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def violations(root: Path) -> list[str]:
    """Return every import that breaks a rule, as file:line: reason."""
    found = []
    for package, rule in PACKAGE_RULES.items():
        for file in sorted((root / package).rglob("*.py")):
            path = file.relative_to(root)
            for line, target in imports(file, root):
                if reason := violation(path, package, rule, target):
                    found.append(f"{path}:{line}: {reason}")
    return found


def violation(path: Path, package: str, rule: Rules, target: str) -> str | None:
    top = target.partition(".")[0]
    if top in PACKAGE_RULES and top != package and not under(target, rule.allowed):
        return f"{package}/ may not import {target}"
    if package == "training" and top == "service" and path != LANGUAGE_CHECK:
        return f"only {LANGUAGE_CHECK} imports {target}"
    if top in rule.forbidden:
        return f"{package}/ never imports {top}"
    if top == "onnxruntime" and package not in {"benchmarks", "tests"} and path != SESSION:
        return f"only {SESSION} imports onnxruntime"
    return layer_violation(path, target) if package == top == "service" else None


def layer_violation(path: Path, target: str) -> str | None:
    layer, name = path.with_suffix("").parts[1], target.removeprefix("service").removeprefix(".")
    allowed = SERVICE_LAYERS.get(layer, set[str]())
    if under(name, allowed | {layer, "__version__"}):
        return None
    return f"service/{layer} may not import {target}"


def test_every_import_is_allowed() -> None:
    assert violations(ROOT) == []


def test_every_folder_with_code_is_a_package_with_rules() -> None:
    folders = {file.relative_to(ROOT).parts[0] for file in ROOT.glob("[!._]*/**/*.py")}
    assert folders - {"build", "runs", "artifacts", "data"} <= PACKAGE_RULES.keys() == set(PACKAGES)


def test_service_has_only_layers_and_shared_modules_at_its_top_level() -> None:
    assert {file.stem for file in (ROOT / "service").glob("*.py")} == SERVICE_MODULES
    folders = {file.relative_to(ROOT).parts[1] for file in (ROOT / "service").glob("*/**/*.py")}
    assert folders | SERVICE_MODULES == SERVICE_LAYERS.keys() | {"__init__"}


def test_service_layers_import_downwards_only() -> None:
    above: set[str] = set()
    for layer, allowed in SERVICE_LAYERS.items():
        assert not {name.partition(".")[0] for name in allowed} & (above | {layer}), layer
        above.add(layer)


def test_no_package_has_an_import_cycle_among_its_parts() -> None:
    """A cycle of modules is also a cycle among the parts of the innermost package that holds all of them."""
    modules = module_graph()
    found = {package: cycles(parts_graph(modules, package)) for package in sorted(packages_of(modules))}
    assert {package: found for package, found in found.items() if found} == {}


@pytest.mark.parametrize(
    ("path", "code", "expected"),
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
        ("service/app.py", "def f():\n    import torch.nn", "service/app.py:2: service/ never imports torch"),
        (
            "service/app.py",
            "import importlib as i\ni.import_module('onnx')",
            "service/app.py:2: service/ never imports onnx",
        ),
        ("service/app.py", "__import__('torch')", "service/app.py:1: service/ never imports torch"),
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
            "service/engine/a.py",
            "from service.models import registry",
            "service/engine/a.py:1: service/engine may not import service.models.registry",
        ),
        (
            "service/text/a.py",
            "import service.engine.b",
            "service/text/a.py:1: service/text may not import service.engine.b",
        ),
        (
            "service/http/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..api import shared",
            "service/http/a.py:3: service/http may not import service.api.shared",
        ),
        ("service/metrics.py", "from service.engine.types import A", None),
        ("service/app.py", "from service import __version__", None),
        (
            "service/metrics.py",
            "from service.engine.worker import A",
            "service/metrics.py:1: service/metrics may not import service.engine.worker.A",
        ),
        ("service/text/a/b.py", "from .c import d\nfrom ..e import f\nfrom service.artifact import g", None),
        ("service/new.py", "import service.errors", "service/new.py:1: service/new may not import service.errors"),
        ("service/api/a.py", "import service", "service/api/a.py:1: service/api may not import service"),
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
def test_a_forbidden_import_is_found(path: str, code: str, expected: str | None, tmp_path: Path) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(code, encoding="utf-8")
    assert violations(tmp_path) == ([] if expected is None else [expected])


def write_modules(root: Path, modules: dict[str, str]) -> None:
    for path, code in modules.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(code, encoding="utf-8")


def test_cycles_are_found_between_modules_and_between_packages(tmp_path: Path) -> None:
    modules = {
        "export/__init__.py": "",
        "export/a.py": "from export import b",
        "export/b.py": "def late():\n    from export.c import thing",
        "export/c.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import export.a",
        "export/d.py": "from export.a import thing",
        "training/x/one.py": "from training.y.one import thing",
        "training/y/one.py": "",
        "training/y/two.py": "from training.x import two",
        "training/x/two.py": "",
    }
    write_modules(tmp_path, modules)
    graph = module_graph(tmp_path)
    assert cycles(parts_graph(graph, "export")) == [["export.a", "export.b", "export.c"]]
    assert cycles(parts_graph(graph, "training")) == [["training.x", "training.y"]]
    assert cycles(parts_graph(graph, "training.x")) == []
    assert cycles(graph) == [["export.a", "export.b", "export.c"]]
    with pytest.raises(ValueError, match="cycles"):
        levels(parts_graph(graph, "export"))


def test_table_shows_levels_and_imports(tmp_path: Path) -> None:
    modules = {
        "export/__init__.py": "",
        "export/base.py": "import numpy",
        "export/middle/a.py": "import export.base",
        "export/top.py": "from export.middle import a\nfrom export.base import thing\nfrom training import z",
        "training/z.py": "",
    }
    write_modules(tmp_path, modules)
    assert table(parts_graph(module_graph(tmp_path), "export")).splitlines()[2:] == [
        "| 2 | export.top | middle, base |",
        "| 1 | export.middle | base |",
        "| 0 | export.base |  |",
    ]
    assert part_of("export.middle.a", "export.middle") == "export.middle.a"
    assert part_of("exporter.a", "export") is None


def test_import_graph_command_prints_the_service_layers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "| service.__main__ | app, " in printed
    assert printed.count("no cycle") == 2
    assert main(["nowhere"]) == 1
    assert "no package of this project: nowhere" in capsys.readouterr().err


def run_without_training(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter where nothing that the service must not need can be imported."""
    hidden = {*PACKAGE_RULES["service"].forbidden, *PACKAGE_RULES} - {"service"}
    hide = f"import sys\nsys.modules.update(dict.fromkeys({sorted(hidden)}))\n"
    return subprocess.run([sys.executable, "-c", hide + code], cwd=ROOT, text=True, capture_output=True)


def test_service_imports_without_torch() -> None:
    result = run_without_training("import service.__main__, service.engine.process.__main__")
    assert result.returncode == 0, result.stderr


def test_http_process_imports_without_onnxruntime() -> None:
    result = run_without_training("sys.modules['onnxruntime'] = None\nimport service.__main__")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("module", ["torch", "onnx", "training.trainer", "export", "httpx"])
def test_hidden_module_cannot_be_imported(module: str) -> None:
    result = run_without_training(f"import {module}")
    assert result.returncode != 0
    assert "ModuleNotFoundError" in result.stderr
