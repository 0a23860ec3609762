"""Decoding options of one translation request, before its tokens are known."""

from dataclasses import dataclass

from service.engine.decoding.options import DecodingOptions


def default_target_length(source_tokens: int, limit: int) -> int:
    """How many target tokens an answer may take when nobody says otherwise."""
    return min(limit, 2 * source_tokens + 16)


@dataclass(frozen=True)
class TranslationOptions:
    """What a request asks of its translations: a prefix and a length in the caller's terms, and the other options."""

    options: DecodingOptions = DecodingOptions()
    prefix: str = ""
    max_length: int | None = None
    guarded: bool = True  # what looks wrong is not left as it is
