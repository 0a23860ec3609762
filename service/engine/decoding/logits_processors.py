"""Decoding options that change logits in place before a token is chosen, one row at a time."""

import numpy as np

from service.engine.decoding.search import SearchGroup
from service.engine.options import DecodingOptions


def process_group(logits: np.ndarray, group: SearchGroup, eos: int) -> None:
    """Change the logits (B, V) of the group's requests whose options require it."""
    for index, request in enumerate(group.requests):
        if request.options.changes_logits:
            for row, generated in zip(group.rows[index].tolist(), group.generated(index), strict=True):
                process_logits(logits[row], generated, request.options, eos)


def process_logits(logits: np.ndarray, generated: np.ndarray, options: DecodingOptions, eos: int) -> None:
    """Change the logits (V,) of a row that has generated these ids (T,).

    Within the prefix, only its next token is possible. After it, the repetition penalty of CTRL (Keskar et al. 2019,
    section 4.1) applies to every generated token; then forbidden tokens are excluded: suppressed tokens, the end token
    before `min_length`, and tokens that would repeat an n-gram (Paulus et al. 2018, section 2.5).
    """
    if len(generated) < len(options.prefix):
        token = options.prefix[len(generated)]
        logits[:] = -np.inf
        logits[token] = 0.0
        return
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
