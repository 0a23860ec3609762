"""Make a translator that knows the example phrases of DeepL's own Python tests, as DeepL's mock server does.

    python -m benchmarks.compatibility.phrase_model CHECKOUT FOLDER

CHECKOUT is one of DeepLcom/deepl-python; its tests translate "proton beam" between English and 30 languages, and read
the answer. FOLDER becomes a models folder with that translator, `phrases`, and links to the models that come with
Attendant. What is measured with it is the API, not a translator: the model knows nothing but these phrases.
"""

import argparse
import ast
from pathlib import Path

import torch

from export.publish import ExportOptions, export_run
from training.config import parse_recipe
from training.runs.run import RunFolder
from training.trainer import fit

ROOT = Path(__file__).resolve().parents[2]
NAME = "phrases"
PIVOT = "EN"


def read_phrases(checkout: Path) -> dict[str, str]:
    """Return the phrase in each language, by code, from the tests' own table."""
    for node in ast.parse((checkout / "tests" / "conftest.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "example_text":
            table: dict[str, str] = ast.literal_eval(node.value)
            return {code: phrase for code, phrase in table.items() if "-" not in code}
    raise SystemExit(f"{checkout}: tests/conftest.py has no table `example_text`")


def write_rows(phrases: dict[str, str], folder: Path) -> list[str]:
    """Write a file of two languages for each language but English; return the entries for a recipe."""
    entries = []
    for code, phrase in phrases.items():
        if code != PIVOT:
            (folder / f"{code}.tsv").write_text(f"{phrases[PIVOT]}\t{phrase}\n", "utf-8")
            entries.append(f"{code}.tsv as en, {code.lower()}")
    return entries


def train(phrases: dict[str, str], folder: Path) -> RunFolder:
    """Train the model; it has learned the phrases by heart when it stops."""
    torch.set_num_threads(1)  # more threads make so small a model slower
    entries = write_rows(phrases, folder)
    others = [code.lower() for code in phrases if code != PIVOT]
    recipe = parse_recipe(
        {
            "name": NAME,
            "task": "translate",
            "description": "the example phrases of DeepL's Python tests",
            "data": {
                "train": entries, "valid": entries, "columns": ["en", *others],
                "directions": [f"en-{code}" for code in others] + [f"{code}-en" for code in others], "max_length": 32,
            },
            "tokenizer": {"kind": "bpe", "vocabulary": 350},
            "model": {
                "width": 64, "heads": 4, "kv_heads": 2, "feed_forward": 128, "encoder_layers": 1, "decoder_layers": 2,
                "dropout": 0.0, "max_source_length": 256, "max_target_length": 256,
            },
            "training": {
                "epochs": 175, "batch_tokens": 4096, "learning_rate": 0.005, "warmup": 40, "validate_every": 175,
                "keep_last": 1,
            },
        },
        f"{NAME}.toml",
    )  # fmt: skip
    run = RunFolder(folder / "run")
    fit(recipe, folder, run, resume=False)
    return run


def main() -> None:
    """Train, export, and link the other models."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="a checkout of DeepLcom/deepl-python")
    parser.add_argument("folder", type=Path, help="the models folder to make; it must not exist")
    arguments = parser.parse_args()
    work = arguments.folder.with_name(arguments.folder.name + "-run")
    arguments.folder.mkdir(parents=True)
    work.mkdir()
    run = train(read_phrases(arguments.checkout), work)
    export_run(run, arguments.folder / NAME, work, ExportOptions(sentences=20))
    for model in sorted((ROOT / "models").iterdir()):
        (arguments.folder / model.name).symlink_to(model)


if __name__ == "__main__":
    main()
