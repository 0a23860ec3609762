"""Decoding options of one translation request, before its tokens are known."""

from dataclasses import dataclass

from service.engine.options import DecodingOptions


def default_target_length(source_tokens: int, limit: int) -> int:
    """Return how many target tokens a translation may have if the request does not say."""
    return min(limit, 2 * source_tokens + 16)


@dataclass(frozen=True)
class TranslationOptions:
    """How a request wants its texts decoded."""

    decoding: DecodingOptions = DecodingOptions()  # its length and prefix are replaced by those below, in tokens
    prefix: str = ""  # what each translation begins with
    max_length: int | None = None  # target tokens of a segment; None: `default_target_length`
