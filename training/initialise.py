"""Going on from weights that another run has trained: a model that is there, taught by a corpus of one's own."""

import shutil

from training.config import Recipe, RecipeError, differences
from training.runs.run import RunFolder

# What may differ from the run that is started from, though it is of a section that makes up the model.
FREE = {"model.dropout", "model.scheduled_sampling"}


def initialise_from(recipe: Recipe, start: RunFolder, run: RunFolder) -> None:
    """Begin `run` with the recipe, and with the vocabulary and labels of the run that it starts from.

    Raises:
        RecipeError: `start` is no run folder, or its model is of another kind than this recipe's.
    """
    other = [
        key
        for key in differences(start.recipe(), recipe)
        if key in ("task", "data.directions") or (key.startswith(("model.", "tokenizer.")) and key not in FREE)
    ]
    if other:
        raise RecipeError(
            f"{start.path} has a model that this recipe's cannot start from, differing in {', '.join(other)}; copy "
            f"these from its recipe.json"
        )
    run.save_recipe(recipe)
    for name in ("tokenizer.json", "labels.json"):
        if (start.path / name).is_file():
            shutil.copyfile(start.path / name, run.path / name)
