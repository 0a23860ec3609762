"""The terms of a kept glossary that a translation needs: those that its texts contain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.errors import TooLarge
from service.glossaries.store import GlossaryStore, Pair, words_of
from service.translation.request import MAX_TERMS


@dataclass(frozen=True)
class GlossaryTerms:
    """One dictionary of a glossary."""

    store: GlossaryStore
    owner: str
    glossary_id: str
    pair: Pair

    def find(self, texts: Sequence[str], check: Callable[[], None]) -> dict[str, str]:
        """Return the entries whose source terms occur in the texts. It blocks; `check` may raise to stop it.

        Raises:
            UnknownGlossary: the owner has no such glossary, or it has no such dictionary.
            TooLarge: there are too many.
        """
        candidates = self.store.candidates(self.owner, self.glossary_id, self.pair, words_of(texts))
        folded = "\n".join(map(_folded, texts))
        found: dict[str, str] = {}
        for source, target in candidates.items():
            check()
            if _folded(source) in folded:
                found[source] = target
        if len(found) > MAX_TERMS:
            raise TooLarge(
                f"the texts contain {len(found)} terms of the glossary; at most {MAX_TERMS} are used in one request: "
                "send fewer texts"
            )
        return found


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
