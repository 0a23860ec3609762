"""Inference requests of the Open Inference Protocol, the same for HTTP and gRPC: from texts and parameters to outputs.

A parameter that is not understood, and would change the answer, is an error: a client that asked for one thing must
not read another. The classification extension (Triton's extension_classification) turns probabilities into the best
labels, as strings `score:index:label`.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.api.open_inference.tensors import InferBody, OutputValues, RequestedOutput
from service.api.shared import ranked_labels
from service.errors import InvalidRequest, ModelRequired, UnknownModel
from service.models.registry import Registry
from service.models.request_scope import RequestScope, WaitForDisconnect
from service.models.served_model import ServedModel
from service.settings import Settings
from service.translation.request import TranslationRequest
from service.translation.translator import Translator

CLASSIFY_OUTPUTS = [("label", "BYTES", [-1]), ("score", "FP32", [-1]), ("probability", "FP32", [-1, -1])]
TRANSLATE_OUTPUTS = [("translation", "BYTES", [-1]), ("source", "BYTES", [-1]), ("warnings", "BYTES", [-1])]
RANKED_OUTPUT = "probability"  # the output that the classification extension applies to
MICROSECONDS = 1e6  # in a second


def find_model(registry: Registry, name: str, version: str = "") -> ServedModel:
    """Return a model, of a version if one is given. The errors have Triton's words, which its users search for.

    Raises:
        UnknownModel: there is no such model, or it has another version.
        FaultyModel: its artifact could not be loaded.
    """
    versions = {model.version: model for model in registry if model.name == name}
    newest = next((model for model in registry.snapshot.newest if model.name == name), None)
    if newest is None:
        registry.check_not_faulty(name)
        names = ", ".join(model.name for model in registry.newest)
        raise UnknownModel(f"Request for unknown model: '{name[:80]}' is not found; there is {names}")
    if version and version not in versions:
        raise UnknownModel(
            f"Request for unknown model: '{name}' version {version[:20]} is not found; its version is "
            f"{', '.join(versions)}"
        )
    return versions[version] if version else newest


@dataclass(frozen=True)
class Inference:
    """Runs inference requests."""

    translator: Translator
    settings: Settings

    async def infer(
        self, model: ServedModel, body: InferBody, texts: list[str], scope: RequestScope
    ) -> list[OutputValues]:
        """Return the requested outputs of a model, or all. Call `check_request` first.

        Raises:
            ServiceError: the model cannot answer.
        """
        shape = body.inputs[0].shape
        if model.manifest.task == "classify":
            answered = await model.classify(texts, scope)
            return _classify_outputs(model, shape, answered.probabilities, body.outputs or ())
        done = await self.translator.translate(translation_request(model, body, texts), scope)
        return translate_outputs(
            body,
            shape,
            [result.text for result in done.results],
            [result.source for result in done.results],
            ["; ".join(result.warnings) for result in done.results],
        )

    def scope(
        self,
        body: InferBody,
        wait_for_disconnect: WaitForDisconnect,
        caller: str,
        bulk: bool = False,
        seconds: float | None = None,
    ) -> RequestScope:
        """Return the scope of a request.

        It ends at the request timeout, or earlier if the request says so or its client waits only for `seconds`.
        """
        timeout = body.parameters.get("timeout", 0) / MICROSECONDS
        limits = [self.settings.request_timeout_seconds, timeout or math.inf, math.inf if seconds is None else seconds]
        return RequestScope(min(limits), wait_for_disconnect, caller, bulk)


def translation_request(model: ServedModel, body: InferBody, texts: list[str]) -> TranslationRequest:
    """Return the translation that an inference request asks for.

    Raises:
        ModelRequired: the request has no target language, and several are possible.
    """
    return TranslationRequest(
        texts, target=_target(model, body), source=body.parameters.get("source"), model=model.pinned_name
    )


def translate_outputs(
    body: InferBody, shape: list[int], translations: list[str], sources: list[str], warnings: list[str]
) -> list[OutputValues]:
    """Return the requested outputs of a translator, or all."""
    outputs = {
        "translation": OutputValues("translation", "BYTES", shape, translations),
        "source": OutputValues("source", "BYTES", shape, sources),
        "warnings": OutputValues("warnings", "BYTES", shape, warnings),
    }
    return [outputs[one.name] for one in body.outputs] if body.outputs else list(outputs.values())


def _classify_outputs(
    model: ServedModel, shape: list[int], rows: list[list[float]], requested: Sequence[RequestedOutput]
) -> list[OutputValues]:
    best = [ranked_labels(model, row, 1)[0] for row in rows]
    labels = len(model.manifest.labels)
    outputs = {
        "label": OutputValues("label", "BYTES", shape, [one.label for one in best]),
        "score": OutputValues("score", "FP32", shape, [one.score for one in best]),
        "probability": OutputValues("probability", "FP32", [*shape, labels], [p for row in rows for p in row]),
    }
    if not requested:
        return list(outputs.values())
    counts = [one.parameters.get("classification", 0) for one in requested]
    return [
        _ranked_output(model, shape, rows, count) if count else outputs[one.name]
        for one, count in zip(requested, counts, strict=True)
    ]


def _ranked_output(model: ServedModel, shape: list[int], rows: list[list[float]], count: int) -> OutputValues:
    """Return the best labels of each text as `score:index:label`."""
    count = min(count, len(model.manifest.labels))
    index = {label: i for i, label in enumerate(model.manifest.labels)}
    values = [
        f"{one.score:f}:{index[one.label]}:{one.label}" for row in rows for one in ranked_labels(model, row, count)
    ]
    return OutputValues(RANKED_OUTPUT, "BYTES", [*shape, count], values)


def _target(model: ServedModel, body: InferBody) -> str:
    """Return the target language of the request, or else the only one of the model."""
    target: str | None = body.parameters.get("target")
    if target:
        return target
    targets = sorted({direction.target for direction in model.manifest.directions})
    if len(targets) > 1:
        raise ModelRequired(f"give the parameter target as one of {', '.join(targets)}")
    return targets[0]


# Parameters: what each may be. A check returns what is expected if the value is something else.
Check = Callable[[Any], str | None]


def _one_of(*values: Any) -> Check:
    expected = f"{' or '.join(map(repr, values))} is supported"
    return lambda value: None if any(type(value) is type(one) and value == one for one in values) else expected


def _integer(least: int) -> Check:
    def check(value: Any) -> str | None:
        return None if type(value) is int and least <= value < 2**63 else f"give an integer from {least}"

    return check


def _language(value: Any) -> str | None:
    return None if isinstance(value, str) and 0 < len(value) <= 35 else "give a language, such as 'de'"


# A request that is one of a sequence expects the model to remember the earlier ones; no model here does.
REQUEST_PARAMETERS: dict[str, Check] = {
    "binary_data_output": _one_of(True, False),
    "priority": _integer(0),  # without effect on the answer: all requests share the running batch
    "timeout": _integer(0),  # microseconds
    "sequence_id": _one_of(0, ""),
    "sequence_start": _one_of(False),
    "sequence_end": _one_of(False),
}
TRANSLATE_PARAMETERS: dict[str, Check] = {"source": _language, "target": _language}
INPUT_PARAMETERS: dict[str, Check] = {"binary_data_size": _integer(0), "content_type": _one_of("str")}
OUTPUT_PARAMETERS: dict[str, Check] = {"binary_data": _one_of(True, False), "classification": _integer(0)}


def check_request(model: ServedModel, body: InferBody, extra: dict[str, Check] | None = None) -> None:
    """Check the parameters and the requested outputs; `extra` are request parameters of the transport.

    Raises:
        InvalidRequest: a parameter is unknown or out of range, or an output does not exist.
    """
    translates = model.manifest.task == "translate"
    known = REQUEST_PARAMETERS | (TRANSLATE_PARAMETERS if translates else {}) | (extra or {})
    _check_parameters("parameters", body.parameters, known)
    _check_parameters("inputs.0.parameters", body.inputs[0].parameters, INPUT_PARAMETERS)
    names = [name for name, _, _ in (TRANSLATE_OUTPUTS if translates else CLASSIFY_OUTPUTS)]
    for i, output in enumerate(body.outputs or ()):
        _check_parameters(f"outputs.{i}.parameters", output.parameters, OUTPUT_PARAMETERS)
        if output.name not in names:
            raise InvalidRequest(f"no output {output.name[:80]!r}; there is {', '.join(names)}")
        if output.parameters.get("classification") and output.name != RANKED_OUTPUT:
            remedy = f"ask for it of {RANKED_OUTPUT!r}" if RANKED_OUTPUT in names else "the model has no labels"
            raise InvalidRequest(f"outputs.{i}: no classification of {output.name!r}: {remedy}")


def _check_parameters(place: str, parameters: Mapping[str, Any], known: Mapping[str, Check]) -> None:
    for name, value in parameters.items():
        if name.startswith("shared_memory_"):
            raise InvalidRequest(f"{place}.{name}: shared memory is not supported; send the data in the request")
        if name not in known:
            raise InvalidRequest(f"{place}.{ascii(name)[1:-1][:60]}: unknown parameter; {_offer(known)}")
        if expected := known[name](value):
            raise InvalidRequest(f"{place}.{name} is {ascii(value)[:40]}; {expected}")


def _offer(known: Collection[str]) -> str:
    return f"there is {', '.join(sorted(known))}"
