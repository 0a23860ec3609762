"""The decoding options of a request's model calls, derived from those that the caller gave."""

from dataclasses import replace
from functools import lru_cache

from service.engine.options import DecodingOptions


@lru_cache(maxsize=256)
def with_end_loops(decoding: DecodingOptions, end_loops: bool) -> DecodingOptions:
    """Return the options with or without the end of loops; cached, because all requests have one of a few."""
    return replace(decoding, end_loops=end_loops)


def safer(decoding: DecodingOptions) -> DecodingOptions:
    """Return the options of a retry, which suppress repetition."""
    return replace(
        decoding,
        no_repeat_ngram=decoding.no_repeat_ngram or 3,
        repetition_penalty=max(decoding.repetition_penalty, 1.2),
        min_length=max(decoding.min_length, 1),
    )


def pivot_decoding(decoding: DecodingOptions) -> DecodingOptions:
    """Return the options for a translation into the pivot language: the same search, one hypothesis, no extras."""
    return DecodingOptions(
        beam_size=decoding.beam_size,
        length_penalty=decoding.length_penalty,
        early_stopping=decoding.early_stopping,
        no_repeat_ngram=decoding.no_repeat_ngram,
        repetition_penalty=decoding.repetition_penalty,
        end_loops=decoding.end_loops,
    )
