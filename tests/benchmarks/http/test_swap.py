"""The benchmark of swaps: which versions may have answered a request, and the versions it publishes."""

import json
from pathlib import Path

import pytest

from benchmarks.http.swap import Timeline, Versions, exchange_directions
from service.artifact import ArtifactError, read_artifact


@pytest.mark.parametrize(
    ("sent", "received", "expected"),
    [
        (1.0, 2.0, {False}),
        (1.0, 11.0, {False, True}),  # the swap was asked for before the answer came
        (10.5, 12.0, {False, True}),  # it was under way
        (12.0, 13.0, {True}),
        (12.0, 21.0, {True, False}),
        (30.0, 31.0, {False}),
        (30.0, 41.0, {False, True}),
    ],
)
def test_answers_are_expected_from_the_versions_that_may_have_served(
    sent: float, received: float, expected: set[bool]
) -> None:
    timeline = Timeline([(0.0, 0.5, False), (10.0, 11.0, True), (20.0, 22.0, False)], pending=(40.0, True))
    assert timeline.serving(sent, received) == expected


def test_each_version_has_a_number_and_a_corrupt_one_cannot_be_read(toy_translator: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    versions, target = Versions(toy_translator, models), models / toy_translator.name
    versions.publish(exchanged=False)
    assert read_artifact(target).manifest.version == "1"
    versions.publish(exchanged=True)
    assert read_artifact(target).manifest.version == "2"
    versions.publish(exchanged=False, corrupt=True)
    with pytest.raises(ArtifactError, match="weights.bin has sha256"):
        read_artifact(target)
    assert [path.name for path in models.iterdir()] == [toy_translator.name]


def test_exchanged_directions_ask_for_another_language_from_the_same_source() -> None:
    pairs = {("en", "de"): [4], ("de", "en"): [5], ("en", "fr"): [7], ("en", "es"): [6]}
    directions = [{"source": source, "target": target, "prefix": prefix} for (source, target), prefix in pairs.items()]
    manifest = {"directions": json.loads(json.dumps(directions))}
    exchange_directions(manifest)
    assert [one["prefix"] for one in manifest["directions"]] == [[7], [5], [6], [4]]
