"""Which model answers a request that names none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.artifact import Direction
from service.errors import ModelRequired
from service.models.registry import Registry
from service.models.served_model import ServedModel
from tests.service.fakes import TIMEOUT
from tests.service.translation.helpers import fake_detector, fake_translator, upper_case


@contextmanager
def open_registry(models: list[ServedModel], **defaults: Any) -> Iterator[Registry]:
    registry = Registry(models, **defaults)
    try:
        yield registry
    finally:
        registry.drain(TIMEOUT)


def translator(artifact: Path, name: str, *pairs: str) -> ServedModel:
    """Return a model with directions such as "en-de"."""
    model, _ = fake_translator(artifact, "en", "de", upper_case)
    directions = [Direction(source=pair[:2], target=pair[3:], prefix=[4]) for pair in pairs]
    model.manifest = model.manifest.model_copy(update={"name": name, "directions": directions})
    return model


def classifier(artifact: Path, name: str) -> ServedModel:
    model = fake_detector(artifact, ["de", "en", "fr"], lambda _: [1.0, 0.0, 0.0])
    model.manifest = model.manifest.model_copy(update={"name": name})
    return model


def route(registry: Registry, source: str, target: str) -> list[str]:
    return [step.model.name for step in registry.route(None, source, target)]


def test_the_first_translator_by_name_is_the_default(toy_translator: Path) -> None:
    old = translator(toy_translator, "old", "en-de", "de-en", "en-fr", "fr-en")
    new = translator(toy_translator, "new", "en-de", "de-fr")
    with open_registry([old, new]) as registry:
        assert route(registry, "en", "de") == ["new"]
        assert route(registry, "de", "en") == ["old"]
        assert route(registry, "de", "fr") == ["new"]
        assert registry.ambiguous_directions() == {("en", "de"): ["new", "old"]}


def test_a_new_translator_takes_nothing_from_the_one_that_is_set(toy_translator: Path) -> None:
    old = translator(toy_translator, "old", "en-de", "de-en", "en-fr", "fr-en")
    new = translator(toy_translator, "new", "en-de", "de-fr", "en-es")
    newest = translator(toy_translator, "a", "en-es")
    with open_registry([old, new, newest], translator="old") as registry:
        assert route(registry, "en", "de") == ["old"]
        assert route(registry, "de", "fr") == ["old", "old"]  # by way of English, although another has it directly
        assert route(registry, "en", "es") == ["a"]
        assert route(registry, "de", "es") == ["old", "a"]
        assert registry.direct_step(None, None, "de").model.name == "old"
        assert [step.model.name for step in registry.route("new", "de", "fr")] == ["new"]
        assert registry.ambiguous_directions() == {("en", "es"): ["a", "new"]}


def test_the_only_classifier_besides_the_detector_is_the_default(toy_classifier: Path) -> None:
    langid, intents, topics = (classifier(toy_classifier, name) for name in ("langid", "intents", "topics"))
    with open_registry([langid, intents], detector="langid") as registry:
        assert registry.classifier(None).name == "intents"
        assert registry.classifier("langid").name == "langid"
        assert Registry([langid], detector="langid").classifier(None).name == "langid"
        assert Registry([langid, intents], classifier="langid", detector="langid").classifier(None).name == "langid"
    several = open_registry([langid, intents, topics], detector="langid")
    with several as registry, pytest.raises(ModelRequired, match="one of intents, topics, or set ATTENDANT_CLASSIFIER"):
        registry.classifier(None)


def test_languages_are_matched_among_those_of_the_model(toy_translator: Path) -> None:
    models = [translator(toy_translator, "one", "en-de"), translator(toy_translator, "two", "fr-de", "de-fr")]
    with open_registry(models) as registry:
        assert registry.match_languages(None, "en-US", "DE_at") == ("en", "de")
        assert registry.match_languages(None, "de-AT", "de-CH") == ("de", "de")
        assert registry.match_languages("two", "en-US", "FR") == ("en-US", "fr")
        assert registry.match_languages("nobody", None, "FR") == (None, "FR")


def test_the_newest_version_has_the_name_and_each_has_one_of_its_own(toy_translator: Path) -> None:
    models = []
    for version in ("2", "10", "9.1"):
        model = translator(toy_translator, "one", "en-de")
        model.manifest = model.manifest.model_copy(update={"version": version})
        models.append(model)
    with open_registry(models) as registry:
        assert registry.get("one").version == "10"
        assert [model.version for model in registry] == ["2", "10", "9.1"]
        assert [model.version for model in registry.newest] == ["10"]
        for version in ("2", "9.1"):
            [step] = registry.route(f"one@{version}", "en", "de")
            assert step.model.version == version
            assert registry.language_pairs(f"one@{version}") == [("en", "de")]


def test_a_snapshot_stays_as_it_is(toy_translator: Path) -> None:
    old, new = translator(toy_translator, "old", "en-de"), translator(toy_translator, "new", "en-de")
    with open_registry([old]) as registry, open_registry([new]):
        before = registry.snapshot
        assert registry.snapshot is before
        registry.replace([new], [])
        assert (route(before, "en", "de"), route(registry, "en", "de")) == (["old"], ["new"])
        assert before.snapshot is before
        before.drain(TIMEOUT)
