"""Fixtures for all tests: tiny trained runs and the artifacts exported from them."""

import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # tests must not use the network

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


def write_rows(path: Path, rows: Sequence[tuple[str, ...]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), "utf-8")


@pytest.fixture(scope="session")
def toy_translation_run(tmp_path_factory: pytest.TempPathFactory) -> "RunFolder":
    """The run of a Transformer that translates word by word between the languages a and b, in both directions."""
    import torch

    from training.config import parse_recipe
    from training.runs.run import RunFolder
    from training.trainer import fit

    torch.set_num_threads(1)  # more threads make so small a model slower
    folder = tmp_path_factory.mktemp("toy-translation")
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
    return RunFolder(folder / "run")


@pytest.fixture(scope="session")
def toy_recurrent_run(toy_translation_run: "RunFolder", tmp_path_factory: pytest.TempPathFactory) -> "RunFolder":
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
    data = toy_translation_run.path.parent
    run = RunFolder(data / "recurrent")
    fit(parse_recipe(table, "toy-recurrent.toml"), data, run, resume=False)
    return run


def fit_classifier(folder: Path, name: str, words: dict[str, list[str]]) -> "RunFolder":
    """Train a classifier on random short texts made of each label's words."""
    import torch

    from training.config import parse_recipe
    from training.runs.run import RunFolder
    from training.trainer import fit

    torch.set_num_threads(1)  # more threads make so small a model slower
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
    return RunFolder(folder / "run")


@pytest.fixture(scope="session")
def toy_classification_run(tmp_path_factory: pytest.TempPathFactory) -> "RunFolder":
    """The run of a classifier of colours by temperature: warm, cold and none."""
    return fit_classifier(tmp_path_factory.mktemp("toy-classification"), "toy-classifier", COLOURS)


def cached_to_onnx() -> Callable[["GraphSpec"], "ModelProto"]:
    """Return a `to_onnx` that traces each trained graph once, because tracing takes seconds."""
    from export.graphs.onnx_writer import to_onnx

    def trace(source: "GraphSpec") -> "ModelProto":
        weights = b"".join(parameter.detach().numpy().tobytes() for parameter in source.module.parameters())
        key = type(source.module).__name__, weights
        if key not in traced:
            traced[key] = to_onnx(source)
        return traced[key]

    traced: dict[tuple[str, bytes], ModelProto] = {}
    return trace


@pytest.fixture(scope="session")
def export_toy_run() -> Callable[..., Path]:
    """Return a function that exports a run like the real export, parity check included; options can be given."""
    from export import publish

    trace = cached_to_onnx()

    def export(run: "RunFolder", artifact: Path, **options: Any) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(publish, "to_onnx", trace)
            publish.export_run(run, artifact, run.path.parent, publish.ExportOptions(sentences=20, **options))
        return artifact

    return export


@pytest.fixture(scope="session")
def untrained_run(toy_translation_run: "RunFolder", toy_classification_run: "RunFolder") -> Callable[..., "RunFolder"]:
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
        run = RunFolder(trained[task].path.parent / name)
        if run.path.exists():
            return run
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
        return run

    return make


@pytest.fixture(scope="session")
def toy_translator(
    toy_translation_run: "RunFolder", export_toy_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The artifact of the toy translation run; read-only."""
    return export_toy_run(toy_translation_run, tmp_path_factory.mktemp("artifacts") / "toy-translator")


@pytest.fixture(scope="session")
def toy_classifier(
    toy_classification_run: "RunFolder", export_toy_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The artifact of the toy classification run; read-only."""
    return export_toy_run(toy_classification_run, tmp_path_factory.mktemp("artifacts") / "toy-classifier")


@pytest.fixture(scope="session")
def toy_translator_int8(
    toy_translation_run: "RunFolder", export_toy_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The toy translator in int8; the bound is large because so small a model loses a lot."""
    artifact = tmp_path_factory.mktemp("artifacts") / "toy-translator"
    return export_toy_run(toy_translation_run, artifact, int8=True, bound=100)


@pytest.fixture(scope="session")
def toy_classifier_int8(
    toy_classification_run: "RunFolder", export_toy_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The toy classifier in int8."""
    artifact = tmp_path_factory.mktemp("artifacts") / "toy-classifier"
    return export_toy_run(toy_classification_run, artifact, int8=True, bound=100)


@pytest.fixture(scope="session")
def toy_models(toy_translator: Path, toy_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder that contains both artifacts."""
    folder = tmp_path_factory.mktemp("models")
    for artifact in (toy_translator, toy_classifier):
        shutil.copytree(artifact, folder / artifact.name)
    return folder
