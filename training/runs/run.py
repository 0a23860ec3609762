"""A run folder: the files that training writes.

recipe.json recipe.toml data.json tokenizer.json [labels.json] model.safetensors report.json metrics.jsonl
curves.svg tensorboard/ checkpoints/{last,best,epoch-N}.safetensors
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from training.config import Recipe, RecipeError, parse_saved_recipe, recipe_table, recipe_toml
from training.runs.checkpoint import load_weights
from training.tasks import Task, load_task

RECIPE_COMMENT = """\
The recipe of this run. Copy the file, change it, and train again with another run folder:
python -m training fit COPY.toml --data FOLDER --run-folder runs/NEW"""


@dataclass(frozen=True)
class RunFolder:
    """The paths in a run folder."""

    path: Path

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report.json"

    def checkpoint(self, name: str) -> Path:
        return self.path / "checkpoints" / f"{name}.safetensors"

    @contextmanager
    def discarded_if_refused(self) -> Iterator[None]:
        """Delete the folder on a ValueError (a corpus, recipe or checkpoint that is refused) if it had not existed
        before and nothing has been trained."""
        existed = self.path.exists()
        try:
            yield
        except ValueError:
            if not (existed or self.weights.is_file() or self.checkpoint("last").is_file()):
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    def save_recipe(self, recipe: Recipe) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "recipe.json").write_text(json.dumps(recipe_table(recipe), indent=2), "utf-8")
        (self.path / "recipe.toml").write_text(recipe_toml(recipe, RECIPE_COMMENT), "utf-8")

    def save_data_folder(self, data: Path) -> None:
        """Remember where the corpora are, for commands that read them again."""
        (self.path / "data.json").write_text(json.dumps({"folder": str(data.resolve())}), "utf-8")

    def data_folder(self) -> Path:
        """Return the folder of the corpora that the run was trained on, by default `data`."""
        file = self.path / "data.json"
        return Path(json.loads(file.read_text("utf-8"))["folder"]) if file.is_file() else Path("data")

    def recipe(self) -> Recipe:
        """Return the recipe of this run.

        Raises:
            RecipeError: the folder is not a run folder.
        """
        file = self.path / "recipe.json"
        if not file.is_file():
            raise RecipeError(f"{self.path}: not a run folder (no recipe.json)")
        try:
            return parse_saved_recipe(json.loads(file.read_text("utf-8")), str(file))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RecipeError(f"{file}: damaged: {error}") from None

    def open(self, device: torch.device, weights: Path | None = None) -> tuple[Task, nn.Module]:
        """Load the task and the trained model, in evaluation mode."""
        task = load_task(self.recipe(), self.path)
        model = task.build()
        load_weights(model, weights or self.weights)
        return task, model.to(device).eval()
