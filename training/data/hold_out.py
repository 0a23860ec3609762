"""Choose validation rows out of a corpus: the labels in their proportions, and no duplicate on both sides."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np


class _Separators(dict[int, str]):
    """A table for `str.translate`: whatever is no letter, mark or digit becomes a space."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = character if unicodedata.category(character)[0] in "LMN" else " "
        return self[code]


_SEPARATORS = _Separators()


def normalise(text: str) -> str:
    """Return the text without case, punctuation and compatibility forms: equal for texts that a reader calls the same.

    A text of punctuation only stays as it is.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.translate(_SEPARATORS).split()) or text.strip()


def group_duplicates(texts: Sequence[tuple[str, ...]]) -> list[int]:
    """Return a group number for each row; rows that share a normalised text, on the same side, are in one group.

    `texts` has the texts of each row: one for a classifier, the sides for a translator. Empty texts are ignored.
    """
    parents = list(range(len(texts)))

    def find(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    first: dict[tuple[int, str], int] = {}
    for row, sides in enumerate(texts):
        for side, text in enumerate(sides):
            if key := normalise(text):
                other = first.setdefault((side, key), row)
                one, two = find(row), find(other)
                parents[max(one, two)] = min(one, two)
    return [find(row) for row in range(len(texts))]


def choose_rows(groups: Sequence[int], labels: Sequence[Iterable[str]], count: int, seed: int) -> list[int]:
    """Return up to `count` rows to hold out, in a random order: whole groups, each label in its proportion.

    Every label keeps a group. `labels` has the labels of each row (none for a translator); a row without group is given
    as -1 and never chosen. There are fewer rows than `count` if groups are too large or labels too rare.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        if group >= 0:
            members[group].append(row)
    group_labels = {group: {label for row in rows for label in labels[row]} for group, rows in members.items()}
    left = Counter(label for found in group_labels.values() for label in found)
    generator = np.random.default_rng(seed)
    order = [list(members)[i] for i in generator.permutation(len(members))]
    chosen: list[int] = []
    for group in _by_quota(order, members, group_labels, count / max(1, sum(map(len, members.values())))):
        size, own = len(members[group]), group_labels[group]
        if len(chosen) + size <= count and all(left[label] > 1 for label in own) and len(members) > 1:
            chosen += members[group]
            left.subtract(own)
    return [chosen[i] for i in generator.permutation(len(chosen))]


def _by_quota(
    order: list[int], members: dict[int, list[int]], group_labels: dict[int, set[str]], share: float
) -> Iterator[int]:
    """Yield the groups, those first that a label needs to be held out with `share` of its rows."""
    totals: Counter[str] = Counter()
    for group in order:
        totals.update(dict.fromkeys(group_labels[group], len(members[group])))
    taken: Counter[str] = Counter()
    later = []
    for group in order:
        size, own = len(members[group]), group_labels[group]
        if own and all(taken[label] + size <= share * totals[label] for label in own):
            taken.update(dict.fromkeys(own, size))
            yield group
        else:
            later.append(group)
    yield from later


def folds(groups: Sequence[int], labels: Sequence[Iterable[str]], count: int, seed: int) -> Iterator[list[int]]:
    """Yield the held-out rows of `count` folds for cross-validation; see `choose_rows`. They may overlap a little."""
    for fold in range(count):
        yield choose_rows(groups, labels, len(groups) // count, seed + fold)
