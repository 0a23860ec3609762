"""Checks of a response: its shape, and that each answer equals the expected one, which the text got when sent alone.

body --read_translations, read_results--> ParsedResponse --compare--> nothing, or AnswerError with text and difference
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

EXCERPT = 60  # largest number of characters of a text or answer in a message
SCORE_TOLERANCE = 1e-6
FINISH_REASONS = ("stop", "length", "loop")

Kind = TypeVar("Kind")
AnswerItem = dict[str, Any]  # one element of `translations` or of `results`


class AnswerError(Exception):
    """A wrong response; the report counts failures by this message."""


@dataclass(frozen=True)
class ParsedResponse:
    """A response of the right shape. Times are in milliseconds, as measured by the service."""

    answers: tuple[AnswerItem, ...]
    source_tokens: int
    target_tokens: int
    queue: float
    compute: float
    total: float


def excerpt(value: object, start: int = 0) -> str:
    """Return up to EXCERPT characters of a value, quoted."""
    shown = str(value)[start : start + EXCERPT]
    return repr(shown if len(shown) < EXCERPT else shown[: EXCERPT - 1] + "…")


def field(container: object, name: str, kind: type[Kind]) -> Kind:
    value = container.get(name) if isinstance(container, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise AnswerError(f"`{name}` is {excerpt(value)}, not {kind.__name__}")
    return value


def number(container: object, name: str) -> float:
    value = container.get(name) if isinstance(container, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise AnswerError(f"`{name}` is {excerpt(value)}, not a number")
    return float(value)


def parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError as error:
        raise AnswerError(f"not JSON: {excerpt(body.decode('utf-8', 'replace'))}") from error


def read_response(document: object, elements: str, texts: int, check: Callable[[object], AnswerItem]) -> ParsedResponse:
    """Check the parts that both endpoints share; `elements` names the list of answers, `check` reads one of them."""
    field(document, "model", str)
    answers = field(document, elements, list)
    if len(answers) != texts:
        raise AnswerError(f"{len(answers)} {elements} for {texts} texts")
    usage, timings = field(document, "usage", dict), field(document, "timings_ms", dict)
    response = ParsedResponse(
        answers=tuple(check(answer) for answer in answers),
        source_tokens=field(usage, "source_tokens", int),
        target_tokens=0,
        queue=number(timings, "queue"),
        compute=number(timings, "compute"),
        total=number(timings, "total"),
    )
    if response.source_tokens <= 0:
        raise AnswerError(f"`usage.source_tokens` is {response.source_tokens}")
    if min(response.queue, response.compute, response.total) < 0:
        raise AnswerError(f"`timings_ms` holds a negative time: {excerpt(timings)}")
    return response


def read_translations(body: bytes, texts: int) -> ParsedResponse:
    document = parse(body)
    response = read_response(document, "translations", texts, _translation)
    target_tokens = field(field(document, "usage", dict), "target_tokens", int)
    if target_tokens <= 0:
        raise AnswerError(f"`usage.target_tokens` is {target_tokens}")
    return replace(response, target_tokens=target_tokens)


def _translation(answer: object) -> AnswerItem:
    fields = {name: field(answer, name, str) for name in ("text", "source", "target", "finish_reason")}
    if not fields["text"].strip():
        raise AnswerError("an empty translation")
    if fields["finish_reason"] not in FINISH_REASONS:
        raise AnswerError(f"`finish_reason` is {excerpt(fields['finish_reason'])}")
    return fields


def read_results(body: bytes, texts: int) -> ParsedResponse:
    return read_response(parse(body), "results", texts, _result)


def _result(answer: object) -> AnswerItem:
    labels = field(answer, "labels", list)
    if not labels:
        raise AnswerError("no labels")
    return {"labels": [field(one, "label", str) for one in labels], "scores": [number(one, "score") for one in labels]}


def difference(answer: AnswerItem, expected_answer: AnswerItem) -> str:
    """Describe the first difference between two answers; empty if they are equal."""
    for name, expected in expected_answer.items():
        found = answer[name]
        if name == "scores":
            pairs = zip(found, expected, strict=True)  # same length: `labels` was compared before `scores`
            gap = max(abs(one - other) for one, other in pairs)
            if gap > SCORE_TOLERANCE:
                return f"a score differs by {gap:.2g} from the expected one"
        elif found != expected:
            start = _first_difference(found, expected) if isinstance(found, str) else 0
            return f"`{name}` from {start}: {excerpt(found, start)}, expected {excerpt(expected, start)}"
    return ""


def _first_difference(one: str, other: str) -> int:
    for position, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return position
    return min(len(one), len(other))


def compare(response: ParsedResponse, indices: Sequence[int], expected: Sequence[AnswerItem]) -> None:
    """Compare the answers for the texts of these indices with the expected answers.

    Raises:
        AnswerError: an answer differs; the message says if it is the answer of another text.
    """
    for index, answer in zip(indices, response.answers, strict=True):
        found = difference(answer, expected[index])
        if not found:
            continue
        owners = [i for i, other in enumerate(expected) if not difference(answer, other)]
        misrouted = f"misrouted, the answer of text {owners[0]}: " if owners else ""
        raise AnswerError(f"text {index}: {misrouted}{found}")


def name_texts(indices: Sequence[int]) -> str:
    return f"text{'s' if len(indices) > 1 else ''} {', '.join(map(str, indices))}"


def describe_failure(status: int, body: bytes | None, error: object = None) -> str:
    """Describe a response other than 200, with the `code` of its problem document if it has one."""
    if not status:
        return f"no response: {excerpt(error)}"
    try:
        return f"status {status}, code {field(parse(body or b''), 'code', str)}"
    except AnswerError:
        return f"status {status}"
