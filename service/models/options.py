"""Decoding options of one translation request, before its tokens are known."""

from dataclasses import dataclass, replace
from typing import Any

from service.artifact import GenerationDefaults
from service.engine.options import DecodingOptions

NONE = GenerationDefaults()


def default_target_length(source_tokens: int, limit: int) -> int:
    """Return how many target tokens a translation may have if the request does not say."""
    return min(limit, 2 * source_tokens + 16)


@dataclass(frozen=True)
class TranslationOptions:
    """How a request wants its texts decoded."""

    decoding: DecodingOptions = DecodingOptions()  # its length and prefix are replaced by those below, in tokens
    prefix: str = ""  # what each translation begins with
    max_length: int | None = None  # target tokens of a segment; None: `default_target_length`
    given: frozenset[str] = frozenset()  # fields of `decoding` that the request gave; for others the model has defaults


def with_defaults(
    decoding: DecodingOptions, given: frozenset[str], defaults: GenerationDefaults, widest: int
) -> DecodingOptions:
    """Return the options with a model's defaults for what the request did not give.

    A default beam is at most `widest`, and there is none for sampling.
    """
    if defaults == NONE:
        return decoding
    changes: dict[str, Any] = {name: value for name, value in defaults if name not in given}
    if "beam_size" in changes:
        beam = 1 if decoding.is_sampling else min(defaults.beam_size, widest)
        changes["beam_size"] = max(beam, decoding.beam_size)
    return replace(decoding, **changes)
