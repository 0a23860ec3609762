"""What a right answer is: its shape, and that it equals the answer which the same text got alone.

body of an answer --read_*--> Reply --compare--> nothing, or AnswerError naming the text and the difference
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

EXCERPT = 60  # characters of a text or an answer that a message may show
SCORE_TOLERANCE = 1e-6
FINISH_REASONS = ("stop", "length", "loop")

Kind = TypeVar("Kind")
Answer = dict[str, Any]  # one element of `translations` or of `results`


class AnswerError(Exception):
    """An answer that is not what it must be; the message is the failure which the report counts."""


@dataclass(frozen=True)
class Reply:
    """An answer whose shape is right. Times are milliseconds, by the service's own clock."""

    answers: tuple[Answer, ...]
    source_tokens: int
    target_tokens: int
    queue: float
    compute: float
    total: float


def excerpt(value: object, start: int = 0) -> str:
    shown = str(value)[start : start + EXCERPT]
    return repr(shown if len(shown) < EXCERPT else shown[: EXCERPT - 1] + "…")


def field(holder: object, name: str, kind: type[Kind]) -> Kind:
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise AnswerError(f"`{name}` is {excerpt(value)}, not {kind.__name__}")
    return value


def number(holder: object, name: str) -> float:
    value = holder.get(name) if isinstance(holder, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise AnswerError(f"`{name}` is {excerpt(value)}, not a number")
    return float(value)


def parse(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError as error:
        raise AnswerError(f"not JSON: {excerpt(body.decode('utf-8', 'replace'))}") from error


def read_reply(document: object, elements: str, texts: int, check: Callable[[object], Answer]) -> Reply:
    field(document, "model", str)
    answers = field(document, elements, list)
    if len(answers) != texts:
        raise AnswerError(f"{len(answers)} {elements} for {texts} texts")
    usage, timings = field(document, "usage", dict), field(document, "timings_ms", dict)
    reply = Reply(
        answers=tuple(check(answer) for answer in answers),
        source_tokens=field(usage, "source_tokens", int),
        target_tokens=0,
        queue=number(timings, "queue"),
        compute=number(timings, "compute"),
        total=number(timings, "total"),
    )
    if reply.source_tokens <= 0:
        raise AnswerError(f"`usage.source_tokens` is {reply.source_tokens}")
    if min(reply.queue, reply.compute, reply.total) < 0:
        raise AnswerError(f"`timings_ms` holds a negative time: {excerpt(timings)}")
    return reply


def read_translations(body: bytes, texts: int) -> Reply:
    document = parse(body)
    reply = read_reply(document, "translations", texts, _translation)
    target_tokens = field(field(document, "usage", dict), "target_tokens", int)
    if target_tokens <= 0:
        raise AnswerError(f"`usage.target_tokens` is {target_tokens}")
    return replace(reply, target_tokens=target_tokens)


def _translation(answer: object) -> Answer:
    wanted = {name: field(answer, name, str) for name in ("text", "source", "target", "finish_reason")}
    if not wanted["text"].strip():
        raise AnswerError("an empty translation")
    if wanted["finish_reason"] not in FINISH_REASONS:
        raise AnswerError(f"`finish_reason` is {excerpt(wanted['finish_reason'])}")
    return wanted


def read_results(body: bytes, texts: int) -> Reply:
    return read_reply(parse(body), "results", texts, _result)


def _result(answer: object) -> Answer:
    labels = field(answer, "labels", list)
    if not labels:
        raise AnswerError("no labels")
    return {"labels": [field(one, "label", str) for one in labels], "scores": [number(one, "score") for one in labels]}


def difference(got: Answer, alone: Answer) -> str:
    """What differs, in words; empty when nothing does."""
    for name, expected in alone.items():
        found = got[name]
        if name == "scores":
            pairs = zip(found, expected, strict=True)  # labels come before scores: the lengths are equal here
            gap = max(abs(one - other) for one, other in pairs)
            if gap > SCORE_TOLERANCE:
                return f"a score differs by {gap:.2g} from the one alone"
        elif found != expected:
            start = _first_difference(found, expected) if isinstance(found, str) else 0
            return f"`{name}` from {start}: {excerpt(found, start)}, alone it was {excerpt(expected, start)}"
    return ""


def _first_difference(one: str, other: str) -> int:
    for position, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return position
    return min(len(one), len(other))


def compare(reply: Reply, indices: Sequence[int], book: Sequence[Answer]) -> None:
    """Every answer equals its text's own in the book, which was written when the text was alone."""
    for index, got in zip(indices, reply.answers, strict=True):
        told = difference(got, book[index])
        if not told:
            continue
        owners = [other for other, answer in enumerate(book) if not difference(got, answer)]
        misrouted = f"misrouted, the answer of text {owners[0]}: " if owners else ""
        raise AnswerError(f"text {index}: {misrouted}{told}")


def named(indices: Sequence[int]) -> str:
    return f"text{'s' if len(indices) > 1 else ''} {', '.join(map(str, indices))}"


def refusal(status: int, body: bytes | None, error: object = None) -> str:
    """A status that is not 200, with the `code` of a problem document where there is one."""
    if not status:
        return f"no answer: {excerpt(error)}"
    try:
        return f"status {status}, code {field(parse(body or b''), 'code', str)}"
    except AnswerError:
        return f"status {status}"
