"""Fixtures for all tests: tiny trained runs and the artifacts exported from them."""

import functools
import gc
import hashlib
import os
import random
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from filelock import FileLock

from service.engine.cores import available_cores

os.environ["HF_HUB_OFFLINE"] = "1"  # tests must not use the network

# The same examples in every run; `pytest --hypothesis-profile=random` tries others. An example has no deadline: on a
# busy machine a process may have to wait for a core.
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")

# The service's tests load this file too, so torch is imported only inside the fixtures that need it.
if TYPE_CHECKING:
    from onnx import ModelProto

    from export.graphs.spec import GraphSpec
    from training.runs.run import RunFolder

LEXICON = {
    "one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf",
    "red": "rot", "green": "grün", "house": "Haus", "dog": "Hund", "bird": "Vogel",
}  # fmt: skip
COLOURS = {"warm": ["red", "orange", "yellow"], "cold": ["blue", "cyan", "violet"], "none": ["black", "grey"]}


ROOT = Path(__file__).resolve().parents[1]
# What a toy run or artifact depends on: as long as it is unchanged, they are kept between runs of the tests.
SOURCES = ("training", "export", "service/engine", "service/text", "service/artifact.py", "tests", "constraints.txt")

MANY_MODULES = 200

BuildOnce = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def build_once(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> BuildOnce:
    """Return a function that has a folder filled once, by whichever test process needs it first.

    Training and tracing take seconds, and every process of pytest-xdist would repeat them. The folders stay in pytest's
    cache and are read-only for tests.
    """
    digest = hashlib.sha256()
    for source in SOURCES:
        path = ROOT / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if path.name != "tests" or file.name == "conftest.py":
                digest.update(file.read_bytes())
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)  # none with `-p no:cacheprovider`
    base = cache.mkdir("toys") if cache else tmp_path_factory.getbasetemp()
    current = base / digest.hexdigest()[:16]
    with FileLock(base / "lock"):
        for old in base.iterdir() if cache else ():
            if old.is_dir() and old != current:
                shutil.rmtree(old)
        current.mkdir(exist_ok=True)

    def build(name: str, fill: Callable[[Path], object]) -> Path:
        folder, done = current / name, current / f"{name}.done"
        with FileLock(current / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what an interrupted process has left
                folder.mkdir()
                fill(folder)
                done.touch()
        return folder

    return build


def pytest_xdist_auto_num_workers() -> int:
    """Run one process more than there are cores: many tests wait for the services and browsers that they start."""
    return available_cores() + 1


def pytest_collection_finish() -> None:
    Collections.leave_imports_out()


def pytest_runtest_setup() -> None:
    """Compute on one thread, whatever a test before this one has set: the last bits of a sum depend on it."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)


def pytest_runtest_call() -> None:
    Collections.leave_imports_out()  # fixtures import torch


class Collections:
    """Garbage collections, from which what imports have made is left out."""

    modules = 0  # imported when objects were last left out

    @classmethod
    def leave_imports_out(cls) -> None:
        """Leave out a million objects: every service makes collections, each of which would visit them."""
        if len(sys.modules) >= cls.modules + MANY_MODULES:
            gc.collect()
            gc.freeze()
            cls.modules = len(sys.modules)


def write_rows(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), "utf-8")


@pytest.fixture(scope="session")
def toy_translation_run(build_once: BuildOnce) -> "RunFolder":
    """The run of a Transformer that translates word by word between the languages a and b, in both directions."""
    from training.runs.run import RunFolder

    return RunFolder(build_once("toy-translation", fit_translator) / "run")


def fit_translator(folder: Path) -> None:
    """Train the toy translator, with its corpus in the folder and its run in `run`."""

    from training.config import parse_recipe
    from training.runs.run import RunFolder
    from training.trainer import fit

    generator = random.Random(1)
    sentences = [generator.choices(list(LEXICON), k=generator.randint(1, 4)) for _ in range(700)]
    rows = [(" ".join(words), " ".join(LEXICON[word] for word in words)) for words in sentences]
    write_rows(folder / "train.tsv", rows[:660])
    write_rows(folder / "valid.tsv", rows[660:])
    recipe = parse_recipe(
        {
            "name": "toy-translator",
            "task": "translate",
            "description": "a toy: ten words between two languages",
            "data": {
                "train": ["train.tsv"], "valid": ["valid.tsv"], "columns": ["a", "b"], "directions": ["a-b", "b-a"],
                "max_length": 32,
            },
            "tokenizer": {"kind": "bpe", "vocabulary": 320},
            "model": {
                "width": 32, "heads": 4, "kv_heads": 2, "feed_forward": 64, "encoder_layers": 1, "decoder_layers": 2,
                "dropout": 0.0, "max_source_length": 48, "max_target_length": 40,
            },
            "training": {
                "epochs": 16, "batch_tokens": 512, "learning_rate": 0.01, "warmup": 20, "validate_every": 8,
                "keep_last": 1,
            },
        },
        "toy-translation.toml",
    )  # fmt: skip
    fit(recipe, folder, RunFolder(folder / "run"), resume=False)


@pytest.fixture(scope="session")
def toy_recurrent_run(toy_translation_run: "RunFolder", build_once: BuildOnce) -> "RunFolder":
    """The run of an LSTM with attention, trained on the corpus of the toy translator."""
    from training.config import parse_recipe, recipe_table
    from training.runs.run import RunFolder
    from training.trainer import fit

    table: dict[str, Any] = recipe_table(toy_translation_run.recipe())
    table["name"] = "toy-recurrent"
    table["model"] = {
        "architecture": "lstm", "attention": "additive", "width": 32, "encoder_layers": 1, "decoder_layers": 1,
        "dropout": 0.0, "max_source_length": 48, "max_target_length": 40,
    }  # fmt: skip
    table["training"] |= {"learning_rate": 0.006, "warmup": 60, "epochs": 24}
    recipe = parse_recipe(table, "toy-recurrent.toml")

    def fill(folder: Path) -> None:
        for rows in ("train.tsv", "valid.tsv"):
            shutil.copy(toy_translation_run.path.parent / rows, folder)
        fit(recipe, folder, RunFolder(folder / "run"), resume=False)

    return RunFolder(build_once("toy-recurrent", fill) / "run")


def fit_classifier(folder: Path, name: str, words: dict[str, list[str]]) -> None:
    """Train a classifier on random short texts made of each label's words, with its run in `run` of the folder."""

    from training.config import parse_recipe
    from training.runs.run import RunFolder
    from training.trainer import fit

    generator = random.Random(1)
    labels = generator.choices(list(words), k=260)
    rows = [(label, " ".join(generator.choices(words[label], k=generator.randint(1, 8)))) for label in labels]
    write_rows(folder / "train.tsv", rows)
    recipe = parse_recipe(
        {
            "name": name,
            "task": "classify",
            "description": f"a toy: which of {', '.join(words)}",
            "data": {"train": ["train.tsv"], "hold_out": 60, "columns": ["label", "text"], "max_length": 32},
            "tokenizer": {"kind": "bpe", "vocabulary": 300, "lowercase": True},
            "model": {
                "width": 16, "heads": 2, "kv_heads": 1, "feed_forward": 32, "encoder_layers": 2, "dropout": 0.0,
                "max_source_length": 48,
            },
            "training": {"epochs": 4, "batch_tokens": 512, "learning_rate": 0.01, "warmup": 5, "keep_last": 1},
        },
        f"{name}.toml",
    )  # fmt: skip
    fit(recipe, folder, RunFolder(folder / "run"), resume=False)


@pytest.fixture(scope="session")
def toy_classification_run(build_once: BuildOnce) -> "RunFolder":
    """The run of a classifier of colours by temperature: warm, cold and none."""
    from training.runs.run import RunFolder

    folder = build_once("toy-classification", lambda folder: fit_classifier(folder, "toy-classifier", COLOURS))
    return RunFolder(folder / "run")


@pytest.fixture(scope="session")
def operators_read_once() -> None:
    """Have torch's exporter read its table of operators once; it does so for every graph, in a third of the time."""
    from torch.onnx._internal.exporter import _registration

    registry = _registration.ONNXRegistry
    registry.from_torchlib = staticmethod(functools.cache(registry.from_torchlib))  # type: ignore[method-assign]


def trace_once(build_once: BuildOnce, source: "GraphSpec") -> "ModelProto":
    """Return the graph of a module; each is traced once for all processes, because that takes seconds."""
    import onnx

    from export.graphs.onnx_writer import to_onnx

    weights = b"".join(parameter.detach().numpy().tobytes() for parameter in source.module.parameters())
    key = hashlib.sha256(weights).hexdigest()[:16]
    name = f"{type(source.module).__name__}-{key}"
    folder = build_once(name, lambda folder: onnx.save(to_onnx(source), folder / "graph.onnx"))
    return onnx.load(folder / "graph.onnx")


@pytest.fixture(scope="session")
def export_toy_run(build_once: BuildOnce, operators_read_once: None) -> Callable[..., Path]:
    """Return a function that exports a run like the real export, parity check included; options can be given.

    `change` is called with each graph, which is that of the trained model otherwise.
    """
    from export import publish

    def export(
        run: "RunFolder", artifact: Path, change: "Callable[[ModelProto], None]" = lambda model: None, **options: Any
    ) -> Path:
        def trace(source: "GraphSpec") -> "ModelProto":
            model = trace_once(build_once, source)
            change(model)
            return model

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(publish, "to_onnx", trace)
            publish.export_run(run, artifact, run.path.parent, publish.ExportOptions(sentences=20, **options))
        return artifact

    return export


@pytest.fixture(scope="session")
def untrained_run(
    toy_translation_run: "RunFolder", toy_classification_run: "RunFolder", build_once: BuildOnce
) -> Callable[..., "RunFolder"]:
    """Return a function that makes a run with random weights from a task and a [model] table, each run once.

    Tokeniser and labels are those of a toy run.
    """
    import torch

    from training.config import parse_recipe, recipe_table
    from training.runs.checkpoint import save_weights
    from training.runs.run import RunFolder
    from training.tasks import load_task

    trained = {"translate": toy_translation_run, "classify": toy_classification_run}

    def make(task: str, model: dict[str, Any]) -> RunFolder:
        name = f"toy-{task}-{model['architecture']}"
        return RunFolder(build_once(f"untrained-{name}", lambda folder: fill(folder, name, task, model)) / name)

    def fill(folder: Path, name: str, task: str, model: dict[str, Any]) -> None:
        for rows in trained[task].path.parent.glob("*.tsv"):
            shutil.copy(rows, folder)
        run = RunFolder(folder / name)
        shutil.copytree(trained[task].path, run.path, ignore=lambda *_: ["checkpoints", "tensorboard"])
        recipe = parse_recipe({**recipe_table(trained[task].recipe()), "name": name, "model": model}, name)
        run.save_recipe(recipe)
        run.report.write_text("{}")
        torch.manual_seed(0)
        built = load_task(recipe, run.path).build()
        with torch.no_grad():
            for parameter in built.parameters():  # biases too, so that a missing one is noticed
                parameter.add_(0.1 * torch.randn_like(parameter))
        save_weights(built, run.weights)

    return make


@pytest.fixture(scope="session")
def toy_translator(
    toy_translation_run: "RunFolder", export_toy_run: Callable[..., Path], build_once: BuildOnce
) -> Path:
    """The artifact of the toy translation run; read-only."""
    fill = partial(_export_into, export_toy_run, toy_translation_run, "toy-translator")
    return build_once("translator", fill) / "toy-translator"


@pytest.fixture(scope="session")
def toy_classifier(
    toy_classification_run: "RunFolder", export_toy_run: Callable[..., Path], build_once: BuildOnce
) -> Path:
    """The artifact of the toy classification run; read-only."""
    fill = partial(_export_into, export_toy_run, toy_classification_run, "toy-classifier")
    return build_once("classifier", fill) / "toy-classifier"


@pytest.fixture(scope="session")
def toy_translator_int8(
    toy_translation_run: "RunFolder", export_toy_run: Callable[..., Path], build_once: BuildOnce
) -> Path:
    """The toy translator in int8; the bound is large because so small a model loses a lot."""
    fill = partial(_export_into, export_toy_run, toy_translation_run, "toy-translator", int8=True, bound=100)
    return build_once("translator-int8", fill) / "toy-translator"


@pytest.fixture(scope="session")
def toy_translator_fp16(
    toy_translation_run: "RunFolder", export_toy_run: Callable[..., Path], build_once: BuildOnce
) -> Path:
    """The toy translator in fp16."""
    fill = partial(_export_into, export_toy_run, toy_translation_run, "toy-translator", fp16=True)
    return build_once("translator-fp16", fill) / "toy-translator"


@pytest.fixture(scope="session")
def toy_classifier_fp16(
    toy_classification_run: "RunFolder", export_toy_run: Callable[..., Path], build_once: BuildOnce
) -> Path:
    """The toy classifier in fp16."""
    fill = partial(_export_into, export_toy_run, toy_classification_run, "toy-classifier", fp16=True)
    return build_once("classifier-fp16", fill) / "toy-classifier"


@pytest.fixture(scope="session")
def toy_classifier_int8(
    toy_classification_run: "RunFolder", export_toy_run: Callable[..., Path], build_once: BuildOnce
) -> Path:
    """The toy classifier in int8."""
    fill = partial(_export_into, export_toy_run, toy_classification_run, "toy-classifier", int8=True, bound=100)
    return build_once("classifier-int8", fill) / "toy-classifier"


def _export_into(export: Callable[..., Path], run: "RunFolder", name: str, folder: Path, **options: Any) -> None:
    export(run, folder / name, **options)


@pytest.fixture(scope="session")
def toy_models(toy_translator: Path, toy_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder that contains both artifacts."""
    folder = tmp_path_factory.mktemp("models")
    for artifact in (toy_translator, toy_classifier):
        shutil.copytree(artifact, folder / artifact.name)
    return folder
