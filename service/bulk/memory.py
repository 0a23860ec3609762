"""Translations of lines that have been seen, for lines that come again.

Files of many lines repeat some: messages of a program, cells of a table, a sentence that has several translations. A
line's translation does not depend on its neighbours, so that it can be kept instead of computed again.
"""

from collections import OrderedDict
from collections.abc import Iterable

LINES = 65_536  # that are kept, those that were used last
LONGEST = 256  # characters of a line that is kept: longer ones rarely come again, and the memory stays below 100 MB


class TranslationMemory:
    """The translations of the last lines, all by one translator with one request's options."""

    def __init__(self) -> None:
        self._translations: OrderedDict[str, str] = OrderedDict()

    def get(self, line: str) -> str | None:
        """Return the translation of a line, or None if it is not known."""
        translation = self._translations.get(line)
        if translation is not None:
            self._translations.move_to_end(line)
        return translation

    def put(self, line: str, translation: str) -> None:
        """Keep the translation of a line."""
        if len(line) > LONGEST or len(translation) > 4 * LONGEST:
            return
        self._translations[line] = translation
        self._translations.move_to_end(line)
        if len(self._translations) > LINES:
            self._translations.popitem(last=False)

    def fill(self, lines: Iterable[tuple[str, str]]) -> None:
        """Keep lines and their translations from an earlier run; empty ones are those of lines that failed."""
        for line, translation in lines:
            if translation:
                self.put(line, translation)
