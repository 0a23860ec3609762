"""What of a text tells its language."""

from service.text.segmentation.placeholders import outside, protected

ENOUGH = 400  # characters
WINDOW = 4 * ENOUGH  # in which they are looked for at a time; an address that is cut by its end is no harm


def sample(text: str) -> str:
    """The beginning of a text, without addresses and code; the text itself if that is all there is."""
    words, length = list[str](), 0
    for start in range(0, len(text), WINDOW):
        window = text[start : start + WINDOW]
        words += outside(window, protected(window)).split()
        length = sum(map(len, words)) + len(words)
        if length > ENOUGH:
            break
    return " ".join(words)[:ENOUGH] or text.strip()[:ENOUGH]
