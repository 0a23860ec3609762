"""The decoding defaults of an artifact, and what a request gives instead."""

import shutil
from pathlib import Path

import pytest

from service.artifact import GenerationDefaults, read_artifact, write_manifest
from service.engine.factory import start_pools
from service.engine.options import DecodingOptions
from service.metrics import Metrics
from service.models.loading import load_models
from service.models.options import with_defaults
from service.settings import Settings
from tests.service.conftest import TRANSLATE, Service, serving

DEFAULTS = GenerationDefaults(beam_size=4, length_penalty=0.0, no_repeat_ngram=2)


@pytest.mark.parametrize(
    ("options", "given", "expected"),
    [
        (DecodingOptions(), [], DecodingOptions(beam_size=4, length_penalty=0.0, no_repeat_ngram=2)),
        (DecodingOptions(), ["beam_size", "no_repeat_ngram"], DecodingOptions(length_penalty=0.0)),
        (DecodingOptions(length_penalty=2.0), ["length_penalty"],
         DecodingOptions(beam_size=4, length_penalty=2.0, no_repeat_ngram=2)),
        (DecodingOptions(temperature=1.0), [],
         DecodingOptions(temperature=1.0, length_penalty=0.0, no_repeat_ngram=2)),  # a beam does not sample
        (DecodingOptions(beam_size=6, n_best=6), [],
         DecodingOptions(beam_size=6, n_best=6, length_penalty=0.0, no_repeat_ngram=2)),  # of a dialect
    ],
)  # fmt: skip
def test_default_applies_to_what_a_request_leaves_out(
    options: DecodingOptions, given: list[str], expected: DecodingOptions
) -> None:
    assert with_defaults(options, frozenset(given), DEFAULTS, widest=8) == expected


def test_default_beam_fits_the_worker() -> None:
    assert with_defaults(DecodingOptions(), frozenset(), DEFAULTS, widest=3).beam_size == 3


def test_artifact_translates_with_its_defaults(service: Service, toy_translator: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / toy_translator.name
    shutil.copytree(toy_translator, folder)
    manifest = read_artifact(folder).manifest.model_copy(update={"generation": DEFAULTS})
    write_manifest(folder, manifest)
    settings, metrics = Settings(models=folder.parent, workers=1, threads=1), Metrics()
    texts = ["one two", "green bird house", "five dog", "rot", "zzz", "two red dog house"]
    body = TRANSLATE | {"text": texts, "include": ["score"]}
    plain = service.post("/v1/translate", body).json()["translations"]
    asked = service.post("/v1/translate", body | DEFAULTS.model_dump()).json()["translations"]
    with serving(settings, load_models(settings, metrics, start_pools), metrics) as running:
        found = running.post("/v1/translate", body).json()["translations"]
        greedy = running.post("/v1/translate", body | GenerationDefaults().model_dump()).json()["translations"]
    assert found == asked
    assert greedy == plain
    assert found != greedy
