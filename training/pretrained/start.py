"""Start a classifier from a pretrained encoder: its tokenizer, its weights, and a new head for the labels."""

import json
from pathlib import Path
from typing import Literal

from torch import nn

from training.config import Recipe, RecipeError, TransformerConfig
from training.data.corpus import Row
from training.data.tokenizer import Codec
from training.models.classifier import Classifier
from training.pretrained.checkpoint import CONFIG, ImportRefused, open_checkpoint
from training.pretrained.encoder import FAMILIES, encoder_config, load_encoder
from training.pretrained.tokenizer import read_tokenizer
from training.pretrained.weights import Weights
from training.runs.run import RunFolder
from training.tasks import ClassifyTask

OWN_KEYS = {"architecture", "dropout", "pooling", "max_source_length", "max_target_length"}  # that a recipe may choose
DROPOUT = 0.1


def is_checkpoint(path: Path) -> bool:
    """Return whether a folder is a checkpoint of transformers and not a run folder."""
    return (path / CONFIG).is_file() and not (path / "recipe.json").is_file()


class PretrainedEncoder:
    """A checkpoint of the BERT family to start a classifier from; a head that it may have is left out.

    Raises:
        ImportRefused: the checkpoint cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.checkpoint = path, open_checkpoint(path)
        if self.checkpoint.model_type not in FAMILIES:
            raise ImportRefused(
                f"{path}: model_type is {self.checkpoint.model_type!r}; a classifier can start from "
                f"{', '.join(FAMILIES)}"
            )
        self.config = encoder_config(self.checkpoint, self._pooling())
        self.vocabulary = int(self.checkpoint.get("vocab_size"))
        self.tokenizer = read_tokenizer(self.checkpoint, self.vocabulary)

    def _pooling(self) -> Literal["mean", "first"]:
        """Return what the encoder was trained for, if it is one of sentence-transformers; else the mean."""
        file = self.path / "1_Pooling" / CONFIG
        if not file.is_file():
            return "mean"
        try:
            return "first" if json.loads(file.read_text("utf-8")).get("pooling_mode_cls_token") else "mean"
        except (ValueError, AttributeError) as error:
            raise ImportRefused(f"{file}: cannot be read: {error}") from None

    def adapt(self, recipe: Recipe) -> Recipe:
        """Return the recipe with the encoder's tables [model] and [tokenizer]; dropout, pooling and limit are its own.

        Raises:
            RecipeError: it is not a classifier's, or asks for another model.
        """
        given = recipe.model
        if recipe.task != "classify":
            raise RecipeError(f"{recipe.name}: a pretrained encoder starts a classifier, not task {recipe.task!r}")
        own = {key: getattr(given, key) for key in given.model_fields_set & OWN_KEYS}
        found = self.config.model_copy(update={"dropout": DROPOUT} | own)
        different = [
            key for key in given.model_fields_set - OWN_KEYS if getattr(given, key) != getattr(found, key, None)
        ]
        if not isinstance(given, TransformerConfig) or different:
            keys = ", ".join(f"model.{key}" for key in sorted(different or ["architecture"]))
            raise RecipeError(f"{recipe.name}: {self.path} has another model, differing in {keys}; leave them out")
        if found.max_source_length > self.config.max_source_length:
            raise RecipeError(
                f"{recipe.name}: model.max_source_length is {found.max_source_length}; {self.path} reads at most "
                f"{self.config.max_source_length} tokens"
            )
        table = {"kind": "pretrained", "vocabulary": self.vocabulary}
        set_here = recipe.tokenizer.model_fields_set
        if set_here and any(getattr(recipe.tokenizer, key) != value for key, value in table.items()):
            raise RecipeError(f"{recipe.name}: the tokenizer is that of {self.path}; leave out [tokenizer]")
        tokenizer = recipe.tokenizer.model_copy(update=table)
        return recipe.model_copy(update={"model": found, "tokenizer": tokenizer})

    def prepare(self, recipe: Recipe, rows: list[Row], run: RunFolder) -> None:
        """Write recipe, tokenizer and labels of the corpus into the run folder.

        Raises:
            CorpusError: there are fewer than two labels.
        """
        labels = ClassifyTask.labels_of(recipe, rows)
        run.save_recipe(recipe)
        ClassifyTask(recipe, Codec(self.tokenizer, self.tokenizer), labels).save(run.path)

    def load(self, model: nn.Module) -> None:
        """Copy the encoder's weights into a classifier.

        Raises:
            ImportRefused: weights are missing, or have another shape.
        """
        assert isinstance(model, Classifier)
        load_encoder(model.encoder, self.checkpoint, Weights(self.checkpoint))
