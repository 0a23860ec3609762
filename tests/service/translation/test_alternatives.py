"""Alternative translations of a whole text, combined from the hypotheses of its sentences."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.translation.document import best_choices
from tests.service.conftest import TRANSLATE, Service

SCORES = st.lists(
    st.lists(st.floats(-9, 0), min_size=1, max_size=3).map(lambda row: sorted(row, reverse=True)), max_size=5
)


@given(SCORES)
def test_choices_are_ordered_by_the_sum_of_scores(scores: list[list[float]]) -> None:
    choices = best_choices(scores)
    sums = sorted((sum(one) for one in itertools.product(*scores)), reverse=True)
    found = [sum(row[k] for row, k in zip(scores, choice, strict=True)) for choice in choices]
    assert found == pytest.approx(sums[: max(map(len, scores), default=1)])
    assert choices[0] == (0,) * len(scores)
    assert len(set(choices)) == len(choices)


@given(SCORES)
def test_equal_sums_are_ordered_as_their_hypotheses(scores: list[list[float]]) -> None:
    rounded = [[float(round(score)) for score in row] for row in scores]
    ordered = sorted(itertools.product(*map(range, map(len, scores))), key=lambda ks: (-_sum(rounded, ks), ks))
    assert best_choices(rounded) == ordered[: max(map(len, scores), default=1)]


def _sum(scores: list[list[float]], choice: tuple[int, ...]) -> float:
    return sum(row[k] for row, k in zip(scores, choice, strict=True))


def test_a_hypothesis_cut_at_the_limit_is_not_preferred_for_its_score() -> None:
    assert best_choices([[-0.8, -0.5]]) == [(0,), (1,)]
    assert best_choices([[-0.8, -0.5], [-1.0, -1.2]]) == [(0, 0), (1, 0)]


def test_an_alternative_is_a_whole_text_scored_with_the_sum_of_its_sentences(service: Service) -> None:
    body = TRANSLATE | {"beam_size": 3, "n_best": 3, "include": ["score", "tokens"]}
    one, other, both = (
        service.post("/v1/translate", body | {"text": text}).json()["translations"][0]
        for text in ("red house.", "two dog.", "- red house.\n- two dog.")
    )
    hypotheses = [[part, *part["alternatives"]] for part in (one, other)]
    pairs = sorted(itertools.product(*hypotheses), key=lambda pair: -(pair[0]["score"] + pair[1]["score"]))[:3]
    found = [both, *both["alternatives"]]
    assert [candidate["text"] for candidate in found] == [f"- {a['text']}\n- {b['text']}" for a, b in pairs]
    assert [candidate["score"] for candidate in found] == pytest.approx([a["score"] + b["score"] for a, b in pairs])
    assert found[0]["tokens"] == one["tokens"] + other["tokens"]
