"""Options that change logits before a token is chosen. They work in place, on one row, with what it has written."""

import numpy as np

from service.engine.decoding.options import DecodingOptions


def process_logits(logits: np.ndarray, written: np.ndarray, options: DecodingOptions, eos: int) -> None:
    """Change the logits (V,) of a row that has written these ids (T,).

    A prefix leaves its next token alone possible and nothing else matters. Otherwise: the repetition penalty of CTRL
    (Keskar et al. 2019, section 4.1) on every token written before, then what is forbidden: suppressed tokens, the end
    mark before `min_length`, and whatever would repeat an n-gram (Paulus et al. 2018, section 2.5).
    """
    if len(written) < len(options.prefix):
        token = options.prefix[len(written)]
        logits[:] = -np.inf
        logits[token] = 0.0
        return
    if options.repetition_penalty != 1.0:
        values = logits[written]  # a token written twice is changed once: both are made of what it was
        logits[written] = np.where(values > 0, values / options.repetition_penalty, values * options.repetition_penalty)
    if options.suppressed:
        logits[list(options.suppressed)] = -np.inf
    if len(written) < options.min_length:
        logits[eos] = -np.inf
    if options.no_repeat_ngram:
        logits[repeating(written, options.no_repeat_ngram)] = -np.inf


def repeating(written: np.ndarray, n: int) -> np.ndarray:
    """The tokens that would complete an n-gram written before."""
    if len(written) < n:
        return written[:0]
    if n == 1:
        return written
    starts = len(written) - n + 1
    tail = written[starts:]  # (n-1,)
    same = np.ones(starts, dtype=bool)
    for offset, token in enumerate(tail.tolist()):
        same &= written[offset : offset + starts] == token
    return written[n - 1 :][same]
