"""What of a text tells its language."""

from service.text.protect import outside, protected

ENOUGH = 400  # characters


def sample(text: str) -> str:
    """The beginning of a text, without addresses and code; the text itself if that is all there is."""
    start = text[: 4 * ENOUGH]
    words = " ".join(outside(start, protected(start)).split())
    return words[:ENOUGH] or text[:ENOUGH]
