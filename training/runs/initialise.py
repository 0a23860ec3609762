"""Start a run from another: its vocabulary and labels; its weights are loaded by `checkpoint.load_initial_weights`."""

import shutil

from training.config import Recipe, RecipeError, differences
from training.data.tokenizer import extend_codec, load_codec
from training.runs.run import RunFolder

# What may differ between a run and the run that it is initialised from, though it belongs to the model.
FREE_KEYS = {"model.dropout", "model.scheduled_sampling", "tokenizer.placeholders"}


def initialise_from(recipe: Recipe, start: RunFolder, run: RunFolder) -> None:
    """Write the recipe into `run`, with the vocabulary and the labels of the run `start`.

    Raises:
        RecipeError: `start` is not a run folder, or its model differs from the recipe's.
    """
    different = [
        key
        for key in differences(start.recipe(), recipe)
        if key in ("task", "data.directions") or (key.startswith(("model.", "tokenizer.")) and key not in FREE_KEYS)
    ]
    if different:
        raise RecipeError(
            f"{start.path} has another model than this recipe, differing in {', '.join(different)}; copy these keys "
            "from its recipe.json"
        )
    before, now = start.recipe().tokenizer.placeholders, recipe.tokenizer.placeholders
    if before and before != now:
        raise RecipeError(
            f"{start.path} has tokenizer.placeholders {before}, this recipe {now}; only a run without any can get some"
        )
    run.save_recipe(recipe)
    for name in ("tokenizer.json", "labels.json"):
        if (start.path / name).is_file():
            shutil.copyfile(start.path / name, run.path / name)
    if now and not before:
        tokenizer = run.path / "tokenizer.json"
        extend_codec(load_codec(tokenizer), now).save(tokenizer)
