"""Decoding options that change logits in place before a token is chosen, one row at a time."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from service.engine.decoding.search import Logits, SearchGroup
from service.engine.options import DecodingOptions


def process_group(logits: Logits, group: SearchGroup, eos: int) -> None:
    """Change the logits (B, V) of the group's requests whose options require it."""
    changed = [index for index, request in enumerate(group.requests) if request.options.changes_logits]
    if not changed:
        return
    rows = group.rows[changed]  # (M, k)
    lines = logits.lines(rows.ravel())
    following = iter(lines)
    for index in changed:
        for generated in group.generated(index):
            process_logits(next(following), generated, group.requests[index].options, eos)
    logits.store(rows.ravel(), lines)


def process_logits(logits: np.ndarray, generated: np.ndarray, options: DecodingOptions, eos: int) -> None:
    """Change the logits (V,) of a row that has generated these ids (T,).

    Within the prefix, only its next token is possible. After it, the repetition penalty of CTRL (Keskar et al. 2019,
    section 4.1) applies to every generated token; then forbidden tokens are excluded: suppressed tokens, the end token
    before `min_length`, and tokens that would repeat an n-gram (Paulus et al. 2018, section 2.5). What the option
    `required` asks for has precedence over all of these.
    """
    if len(generated) < len(options.prefix):
        token = options.prefix[len(generated)]
        logits[:] = -np.inf
        logits[token] = 0.0
        return
    pending, following = required_progress(generated.tolist(), options.required) if options.required else ([], set())
    if following:
        _allow_only(logits, following)
        return
    starts = {sequence[0] for sequence in pending}
    start_logits = {token: float(logits[token]) for token in starts}
    if options.repetition_penalty != 1.0:
        values = logits[generated]  # a token generated twice is penalised once: both entries start from its old logit
        penalty = options.repetition_penalty
        logits[generated] = np.where(values > 0, values / penalty, values * penalty)
    if options.suppressed:
        logits[list(options.suppressed)] = -np.inf
    if len(generated) < options.min_length:
        logits[eos] = -np.inf
    if options.no_repeat_ngram:
        logits[repeating(generated, options.no_repeat_ngram)] = -np.inf
    if options.required:
        logits[[sequence[0] for sequence in options.required if sequence[0] not in starts]] = -np.inf
    if pending:
        _require(logits, start_logits, len(generated) + sum(map(len, pending)) >= options.max_length, options, eos)


def _require(
    logits: np.ndarray, start_logits: Mapping[int, float], is_due: bool, options: DecodingOptions, eos: int
) -> None:
    """Let a required sequence start, given the logits of the tokens that start one.

    If there is no room left, or if the output would end otherwise, nothing else is possible.
    """
    for token, value in start_logits.items():
        logits[token] = value
    best = int(logits.argmax())
    logits[eos] = -np.inf
    if is_due or best == eos or best in options.closing:
        _allow_only(logits, start_logits)


def _allow_only(logits: np.ndarray, tokens: Iterable[int]) -> None:
    """Exclude all tokens but these."""
    allowed = list(tokens)
    values = logits[allowed]
    logits[:] = -np.inf
    logits[allowed] = values


def required_progress(
    generated: Sequence[int], required: Sequence[tuple[int, ...]]
) -> tuple[list[tuple[int, ...]], set[int]]:
    """Return the required sequences that have not begun, and the tokens that continue those that have.

    A sequence is found where it begins first; of two that begin alike, the longer one.
    """
    pending = list(required)
    starts = {sequence[0] for sequence in pending}
    at, end = 0, len(generated)
    while at < end:
        if generated[at] not in starts:
            at += 1
            continue
        rest = tuple(generated[at : at + max(map(len, pending), default=0)])
        begun = [sequence for sequence in pending if len(sequence) > end - at and sequence[: end - at] == rest]
        complete = max((one for one in pending if rest[: len(one)] == one), key=len, default=())
        if begun and end - at > len(complete):
            return pending, {sequence[end - at] for sequence in begun}
        if complete:
            pending.remove(complete)
        at += len(complete) or 1
    return pending, set()


def repeating(generated: np.ndarray, n: int) -> np.ndarray:
    """Return the tokens that would complete an n-gram that was generated before."""
    if len(generated) < n:
        return generated[:0]
    if n == 1:
        return generated
    starts = len(generated) - n + 1
    tail = generated[starts:]  # (n-1,)
    same = np.ones(starts, dtype=bool)
    for offset, token in enumerate(tail.tolist()):
        same &= generated[offset : offset + starts] == token
    return generated[n - 1 :][same]
