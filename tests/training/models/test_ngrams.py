"""The n-gram classifier: the rows of n-grams, padding, dropout, and its recipe keys."""

import pytest
import torch

from tests.training.toys import REVERSE, changed
from training.config import NgramsConfig, RecipeError, parse_recipe, recipe_table
from training.models import build_classifier
from training.models.ngrams import NgramClassifier, ngram_rows

CONFIG = NgramsConfig(architecture="ngrams", order=3, buckets=1000, width=8, dropout=0.5)
TO_CLASSIFY = {"task": "classify", "data.columns": ["label", "text"], "data.directions": None}
SHAPE = {"model": {"architecture": "ngrams", "width": 8, "max_source_length": 20}}


def rows_of(*ids: int) -> list[list[int]]:
    return [one[0].tolist() for one in ngram_rows(torch.tensor([ids]), 3, vocabulary=10, buckets=1000)]


def test_ngram_has_same_row_at_every_position() -> None:
    one, two, three = rows_of(5, 6, 7, 4, 5, 6, 7)
    assert one == [5, 6, 7, 4, 5, 6, 7]
    assert (two[0], two[1]) == (two[4], two[5])
    assert three[0] == three[4]
    assert rows_of(9, 5, 6, 7)[2][1] == three[0]
    assert min(two + three) >= 10
    assert max(two + three) < 1010


def test_ngram_at_end_of_text_has_its_own_row() -> None:
    assert rows_of(5, 6)[2][0] != rows_of(5, 6, 7)[2][0]
    assert rows_of(5, 6)[1][1] == rows_of(8, 6)[1][1]


def test_rows_depend_on_token_order() -> None:
    pairs = {rows_of(a, b)[1][0] for a in range(2, 10) for b in range(2, 10)}
    assert len(pairs) > 55  # of 64, in 1000 buckets
    assert rows_of(5, 6)[1][0] != rows_of(6, 5)[1][0]


def test_padding_does_not_change_output() -> None:
    model = build_classifier(CONFIG, 10, 4).eval()
    source = torch.tensor([[4, 5, 6, 7, 8], [9, 8, 0, 0, 0]])
    together = model(source, torch.tensor([5, 2]))
    alone = model(source[1:, :2], torch.tensor([2]))
    assert torch.allclose(together[1], alone[0], atol=1e-6)


def test_dropout_drops_whole_ngrams() -> None:
    model = NgramClassifier(CONFIG, 10, 4)
    vectors = model.train()._embed(torch.arange(10).repeat(40)[None])[0]  # (400, D)
    gone = (vectors == 0).all(dim=1)
    assert gone.float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert not (vectors[~gone] == 0).any()
    assert torch.equal(model.eval()._embed(torch.arange(10)[None])[0], model.table.weight[:10])


def test_recipe_has_only_keys_of_its_family() -> None:
    recipe = parse_recipe({**changed(REVERSE, TO_CLASSIFY), **SHAPE}, "toy.toml")
    assert recipe_table(recipe)["model"] == {
        "architecture": "ngrams", "width": 8, "dropout": 0.1, "order": 3, "buckets": 100_000,
        "max_source_length": 20, "max_target_length": 256,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model.encoder_layers": 2}, "model.encoder_layers does not apply to architecture ngrams; leave it out"),
        ({"model.heads": 2}, "model.heads does not apply to architecture ngrams; leave it out"),
        ({"model.order": 0}, "model.order is 0; it must be at least 1"),
        ({"model.buckets": 0}, "model.buckets is 0; it must be at least 1"),
    ],
)
def test_foreign_and_invalid_keys_are_rejected(changes: dict[str, object], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        parse_recipe(changed({**changed(REVERSE, TO_CLASSIFY), **SHAPE}, changes), "toy.toml")


def test_character_tokenizer_is_rejected_for_translation() -> None:
    with pytest.raises(RecipeError, match="tokenizer.kind is 'character', which cannot restore text; choose another"):
        parse_recipe(changed(REVERSE, {"tokenizer.kind": "character"}), "toy.toml")


def test_ngrams_are_rejected_for_translation() -> None:
    with pytest.raises(RecipeError, match="model.architecture is 'ngrams', which only classifies"):
        parse_recipe({**REVERSE, **SHAPE}, "toy.toml")
