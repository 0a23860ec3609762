"""The OpenAPI document: schemathesis tests all that it describes, and every route and error has an example."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from service.engine.factory import start_pools
from service.metrics import Metrics
from service.models.loading import load_models
from service.settings import Settings
from tests.service.conftest import Service, serving

NOT_JSON = {
    "get /metrics", "get /download_file/{filename}", "post /v2/document/{document_id}/result",
    "get /v2/glossaries/{glossary_id}/entries", "get /ping",
    "post /v2/repository/models/{model}/load", "post /v2/repository/models/{model}/unload",
}  # fmt: skip
NO_BODY = {
    "put /v1/models/{name}", "post /v2/repository/models/{model}/load", "post /v2/repository/models/{model}/unload",
}  # fmt: skip
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture
def small_limits(english_and_german: Path) -> Iterator[Service]:
    """A service with small limits, so that requests at and above a limit are generated and answered fast."""
    settings = Settings(models=english_and_german, workers=1, threads=1, max_texts=12, max_text_characters=200)
    metrics = Metrics()
    with serving(settings, load_models(settings, metrics, start_pools), metrics) as running:
        yield running


def test_schemathesis_finds_no_error_in_a_thousand_cases(small_limits: Service, tmp_path: Path) -> None:
    """All checks: no 5xx; no undocumented status, media type or header; no response that does not fit its schema."""
    run = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run",
            f"{small_limits.url}/openapi.json", "--checks", "all",
            "--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--continue-on-failure",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    output = "\n".join(line[:300] for line in run.stdout.splitlines())[-6000:]
    assert run.returncode == 0, output + run.stderr[-2000:]
    cases = re.search(r"(\d[\d,]*) generated, (\d[\d,]*) passed", run.stdout)
    assert cases is not None, output
    assert int(cases[1].replace(",", "")) >= 1000


@pytest.fixture(scope="module")
def document(bilingual: Service) -> dict[str, Any]:
    found: dict[str, Any] = bilingual.client.get("/openapi.json").json()
    return found


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, Any]:
    paths = document["paths"]
    return {f"{method} {path}": one for path, methods in paths.items() for method, one in methods.items()}


def schema_errors(example: Any, schema: dict[str, Any], document: dict[str, Any]) -> str:
    """Return the errors of an example against its schema; empty if it is valid."""
    validator = jsonschema_rs.validator_for(schema | {"components": document["components"]})
    return "; ".join(str(error)[:200] for error in validator.iter_errors(example))


def test_every_response_has_a_valid_example(document: dict[str, Any], operations: dict[str, Any]) -> None:
    for name, operation in operations.items():
        [(status, response)] = [one for one in operation["responses"].items() if one[0].startswith("2")]
        if status != "204" and name not in NOT_JSON:
            content = response["content"]["application/json"]
            assert not schema_errors(content["example"], content["schema"], document), name


def test_every_error_has_a_valid_example(document: dict[str, Any], operations: dict[str, Any]) -> None:
    found = [
        (name, status, content)
        for name, operation in operations.items()
        for status, response in operation["responses"].items()
        if not status.startswith("2")
        for content in response["content"].values()
    ]
    assert len(found) > 50
    for name, status, content in found:
        assert content["examples"], (name, status)
        for example in content["examples"].values():
            assert not schema_errors(example["value"], content["schema"], document), (name, status)


def test_every_body_has_an_example(operations: dict[str, Any]) -> None:
    def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
        for name, operation in operations.items():
            for kind, content in operation.get("requestBody", {}).get("content", {}).items():
                if kind != "application/octet-stream":
                    yield name, content

    changing = {name for name in operations if name.startswith(("post", "put", "patch"))} - NO_BODY
    assert {name for name, _ in bodies()} == changing
    for name, content in bodies():
        assert "example" in content or "examples" in content or "examples" in str(content["schema"]), name
