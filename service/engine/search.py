"""Logits to ids. Search never sees the model: it sees logits, chooses tokens, and says which row goes on from which.

A group is all tickets that are searched alike; its arrays have one line a ticket, so that a step costs the same few
numpy calls for one ticket as for a hundred. Every line is computed from its own rows alone: an answer does not depend
on the group.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from service.engine.scheduler import Answer, Finished, Hypothesis, Ticket

NOWHERE = np.empty(0, dtype=np.int64)
PERIODS = np.arange(1, 17)  # tokens of what may come again and again
COPIES = 3  # after the first, and
COPIED = 8  # tokens at least, make a loop


class NotANumber(Exception):
    """The model's logits for a ticket are not numbers, or none of its tokens is allowed."""


@dataclass
class Choice:
    """What a group makes of a step: the next token of its rows, which rows go on from others, who is finished."""

    to: np.ndarray = field(default_factory=lambda: NOWHERE)  # these rows
    rows: np.ndarray = field(default_factory=lambda: NOWHERE)  # go on from these
    start: int = 0  # what both have written before this position is the same
    finished: list[Finished] = field(default_factory=list)


@dataclass(frozen=True)
class Candidates:
    """The most probable tokens of every row: (B, C) ids, and their log-probabilities, best first."""

    token: np.ndarray
    log_probability: np.ndarray


class Group(Protocol):
    """Tickets searched alike. `rows` (N, k) are their rows in the batch, best hypothesis first."""

    tickets: list[Ticket]
    rows: np.ndarray
    width: int  # candidates a row that `choose` needs; 0 for none

    def join(self, tickets: list[Ticket], rows: np.ndarray) -> None: ...
    def written(self, index: int) -> np.ndarray: ...
    def choose(self, logits: np.ndarray, candidates: Candidates | None, token: np.ndarray) -> Choice: ...
    def keep(self, mask: np.ndarray) -> None: ...


class Greedy:
    """The most probable token, again and again, one row a ticket. Ids are written as they come."""

    width = 0

    def __init__(self, eos: int, room: int) -> None:
        self.eos = eos
        self.tickets: list[Ticket] = []
        self.rows = np.empty((0, 1), dtype=np.int64)
        self.ids = np.empty((0, room), dtype=np.int64)
        self.length = np.empty(0, dtype=np.int64)
        self.limit = np.empty(0, dtype=np.int64)
        self.copied = np.empty((0, len(PERIODS)), dtype=np.int64)  # last tokens that are those of a period before

    def join(self, tickets: list[Ticket], rows: np.ndarray) -> None:
        self.tickets += tickets
        self.rows = np.concatenate([self.rows, rows])
        self.copied = np.concatenate([self.copied, np.zeros((len(tickets), len(PERIODS)), np.int64)])
        self.ids = np.concatenate([self.ids, np.zeros((len(tickets), self.ids.shape[1]), np.int64)])
        self.length = np.concatenate([self.length, np.zeros(len(tickets), np.int64)])
        self.limit = np.concatenate([self.limit, [ticket.options.max_length for ticket in tickets]])

    def written(self, index: int) -> np.ndarray:
        """Ids of a ticket so far, one line a hypothesis."""
        return self.ids[index : index + 1, : self.length[index]]

    def choose(self, logits: np.ndarray, candidates: Candidates | None, token: np.ndarray) -> Choice:
        rows = self.rows[:, 0]
        mine = logits if len(rows) == len(logits) else logits[rows]
        best = mine.argmax(axis=1)  # (N,)
        peak = mine[np.arange(len(best)), best]
        if mine is logits:
            best, peak = best[rows], peak[rows]
        return self._settle(best, np.isfinite(peak), token)

    def _settle(self, best: np.ndarray, sound: np.ndarray, token: np.ndarray) -> Choice:
        """Write one token a ticket; finished are those that end, reach their limit, or have no number to choose by."""
        rows = self.rows[:, 0]
        token[rows] = best
        ended = best == self.eos
        self.ids[np.arange(len(best)), self.length] = best
        self._compare(best)
        self.length += ~ended
        for i, ticket in enumerate(self.tickets):
            if ticket.on_token is not None and sound[i] and not ended[i]:
                ticket.on_token(int(best[i]))
        looping = self._looping()
        done = ended | (self.length >= self.limit) | ~sound | looping
        choice = Choice()
        for i in np.flatnonzero(done).tolist():
            reason = "stop" if ended[i] else "loop" if looping[i] else "length"
            choice.finished.append((self.tickets[i], self._outcome(i, reason) if sound[i] else unsound()))
        if choice.finished:
            self.keep(~done)
        return choice

    def _compare(self, best: np.ndarray) -> None:
        """Count on, for every period, how many of the last tokens are the same as a period before."""
        before = self.length[:, None] - PERIODS  # (N, P) positions
        same = self.ids[np.arange(len(best))[:, None], np.maximum(before, 0)] == best[:, None]
        self.copied = np.where(same & (before >= 0), self.copied + 1, 0)

    def _looping(self) -> np.ndarray:
        """Which answers (N,) are to end because they only repeat themselves, which their sources do not."""
        looping = np.zeros(len(self.tickets), dtype=bool)
        found = np.any(self.copied >= np.maximum(COPIES * PERIODS, COPIED), axis=1)
        for i in np.flatnonzero(found).tolist():
            ticket = self.tickets[i]
            looping[i] = ticket.options.end_loops and not repeats(ticket.ids)
        return looping

    def _outcome(self, i: int, reason: str) -> Answer:
        return Answer([Hypothesis(self.ids[i, : self.length[i]].tolist(), reason)])

    def keep(self, mask: np.ndarray) -> None:
        """Forget the tickets where the mask is False."""
        self.tickets = [ticket for ticket, kept in zip(self.tickets, mask.tolist(), strict=True) if kept]
        self.rows, self.ids = self.rows[mask], self.ids[mask]
        self.length, self.limit, self.copied = self.length[mask], self.limit[mask], self.copied[mask]


class Sampling(Greedy):
    """A token drawn from the softmax at a temperature, within the top k and the top p (Holtzman et al. 2020).

    The draws of a ticket come from its own seed, one a token: Philox (Salmon et al. 2011), keyed by the seed, whose
    counter is the position. Log-probabilities are the model's own, before temperature, top k and top p.
    """

    def __init__(self, eos: int, room: int) -> None:
        super().__init__(eos, room)
        self.gains = np.empty((0, room + 1), dtype=np.float64)  # log-probability of every token, where asked for

    def join(self, tickets: list[Ticket], rows: np.ndarray) -> None:
        super().join(tickets, rows)
        self.gains = np.concatenate([self.gains, np.zeros((len(tickets), self.gains.shape[1]))])

    def choose(self, logits: np.ndarray, candidates: Candidates | None, token: np.ndarray) -> Choice:
        best = np.zeros(len(self.tickets), np.int64)
        sound = np.ones(len(self.tickets), bool)
        for i, ticket in enumerate(self.tickets):
            line = logits[self.rows[i, 0]]
            sound[i] = bool(np.isfinite(line.max()))
            if sound[i]:
                best[i] = self._draw(line, ticket, int(self.length[i]))
                if ticket.options.log_probabilities:
                    self.gains[i, self.length[i]] = log_probability(line, int(best[i]))
        return self._settle(best, sound, token)

    def _draw(self, line: np.ndarray, ticket: Ticket, position: int) -> int:
        options = ticket.options
        uniform = np.random.Generator(np.random.Philox(key=options.seed, counter=position)).random()
        order, probability = nucleus(line, options.temperature, options.top_k, options.top_p)
        cumulated = np.cumsum(probability)
        return int(order[min(np.searchsorted(cumulated, uniform * cumulated[-1], side="right"), len(order) - 1)])

    def _outcome(self, i: int, reason: str) -> Answer:
        answer, options = super()._outcome(i, reason), self.tickets[i].options
        if options.log_probabilities:
            gains = self.gains[i, : self.length[i] + (reason == "stop")].tolist()
            [told] = answer.hypotheses
            told.score, told.log_probabilities = sum(gains) / len(gains) ** options.length_penalty, gains
        return answer

    def keep(self, mask: np.ndarray) -> None:
        super().keep(mask)
        self.gains = self.gains[mask]


def unsound() -> NotANumber:
    """What becomes of a ticket that no token can be chosen for."""
    return NotANumber("the model's output is not a number, or the options allow no token at all")


def repeats(ids: list[int]) -> bool:
    """Whether some of the ids come again and again, one right after the other, as a loop's do."""
    array = np.array(ids)
    for period in PERIODS[: len(ids) - 1].tolist():
        changes = np.flatnonzero(np.concatenate([[True], array[period:] != array[:-period], [True]]))
        if np.diff(changes).max() > max(COPIES * period, COPIED):
            return True
    return False


def log_probability(line: np.ndarray, token: int) -> float:
    """Of a token, by its row's logits (V,)."""
    scaled = line.astype(np.float64) - float(line.max())
    return float(scaled[token] - np.log(np.exp(scaled).sum()))


def nucleus(line: np.ndarray, temperature: float, top_k: int, top_p: float) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may be drawn, most probable first, and their weights: logits (V,) -> ids and weights (N,)."""
    with np.errstate(over="ignore"):  # at a tiny temperature
        scaled = (line.astype(np.float64) - float(line.max())) / temperature
    weight = np.exp(scaled)
    order = np.argsort(-weight, kind="stable")
    if top_k:
        order = order[:top_k]
    if top_p < 1:
        cumulated = np.cumsum(weight[order])
        order = order[: int(np.searchsorted(cumulated, top_p * cumulated[-1])) + 1]
    return order, weight[order]


@dataclass(frozen=True)
class _Picked:
    """The candidates that run on, (N, k) each: parent hypothesis, token, sum and the token's log-probability."""

    parent: np.ndarray
    token: np.ndarray
    total: np.ndarray
    gain: np.ndarray


class Beam:
    """Beam search with k hypotheses a ticket, by the rule that training/search.py states and is tested against.

    Candidates are the 2k most probable tokens of each hypothesis. One that is among the first k of all and ends is a
    finished hypothesis; the first k that do not end run on. A width of 1 is greedy search with scores.
    """

    def __init__(self, size: int, eos: int, room: int) -> None:
        self.size, self.width, self.eos = size, 2 * size, eos
        self.tickets: list[Ticket] = []
        self.ended: list[list[Hypothesis]] = []
        self.rows = np.empty((0, size), dtype=np.int64)
        self.ids = np.empty((0, size, room), dtype=np.int64)
        self.gains = np.empty((0, size, room + 1), dtype=np.float64)  # log-probability of every token
        self.sums = np.empty((0, size), dtype=np.float64)
        self.length = np.empty(0, dtype=np.int64)
        self.limit = np.empty(0, dtype=np.int64)

    def join(self, tickets: list[Ticket], rows: np.ndarray) -> None:
        count = len(tickets)
        self.tickets += tickets
        self.ended += [[] for _ in tickets]
        self.rows = np.concatenate([self.rows, rows])
        self.ids = np.concatenate([self.ids, np.zeros((count, *self.ids.shape[1:]), np.int64)])
        self.gains = np.concatenate([self.gains, np.zeros((count, *self.gains.shape[1:]))])
        first = np.full((count, self.size), -np.inf)  # all hypotheses are the empty one: only the first may go on
        first[:, 0] = 0.0
        self.sums = np.concatenate([self.sums, first])
        self.length = np.concatenate([self.length, np.zeros(count, np.int64)])
        self.limit = np.concatenate([self.limit, [ticket.options.max_length for ticket in tickets]])

    def written(self, index: int) -> np.ndarray:
        """Ids of a ticket so far, one line a hypothesis."""
        return self.ids[index, :, : self.length[index]]

    def choose(self, logits: np.ndarray, candidates: Candidates | None, token: np.ndarray) -> Choice:
        assert candidates is not None
        count, k, width = len(self.tickets), self.size, self.width
        tokens = candidates.token[self.rows][..., :width].reshape(count, k * width)  # (N, k*C)
        gains = candidates.log_probability[self.rows][..., :width].astype(np.float64)  # (N, k, C)
        sound = ~np.isnan(gains[..., 0]).any(axis=1) & np.isfinite(gains[:, 0, 0])  # (N,)
        totals = (self.sums[..., None] + gains).reshape(count, k * width)
        order = np.argsort(-totals, axis=1, kind="stable")[:, :width]  # (N, 2k)
        parent, total = order // width, np.take_along_axis(totals, order, axis=1)
        gain = np.take_along_axis(gains.reshape(count, k * width), order, axis=1)
        chosen = np.take_along_axis(tokens, order, axis=1)
        ends = chosen == self.eos
        for i, rank in np.argwhere(ends[:, :k] & np.isfinite(total[:, :k])).tolist():
            self._end(i, int(parent[i, rank]), float(total[i, rank]), float(gain[i, rank]))
        going = _first(~ends, k)  # (N, k)
        picked = _Picked(*(np.take_along_axis(array, going, axis=1) for array in (parent, chosen, total, gain)))
        return self._extend(picked, sound, token)

    def _end(self, i: int, parent: int, total: float, gain: float) -> None:
        """A hypothesis took the end mark; the best k are kept, of equals the earlier."""
        length = int(self.length[i])
        gains = [*self.gains[i, parent, :length].tolist(), gain]
        score = total / (length + 1) ** self.tickets[i].options.length_penalty
        self.ended[i].append(Hypothesis(self.ids[i, parent, :length].tolist(), "stop", score, gains))
        self.ended[i] = sorted(self.ended[i], key=lambda h: -(h.score or 0.0))[: self.size]

    def _extend(self, picked: "_Picked", sound: np.ndarray, token: np.ndarray) -> Choice:
        """The hypotheses that run on, each from its parent; whoever is decided or at the limit is finished."""
        kept = self.ids
        line, column, at = np.arange(len(self.tickets))[:, None], np.arange(self.size)[None], self.length[:, None]
        parent, chosen = picked.parent, picked.token
        self.ids, self.gains, self.sums = self.ids[line, parent], self.gains[line, parent], picked.total
        self.ids[line, column, at], self.gains[line, column, at] = chosen, picked.gain
        self.length += 1
        token[self.rows] = chosen
        done = np.array([self._decided(i) for i in range(len(self.tickets))], bool) | (self.length >= self.limit)
        done |= ~sound
        moved = (parent != column) & ~done[:, None]
        choice = Choice(self.rows[moved], self.rows[line, parent][moved], _common(kept, self.ids, moved))
        for i in np.flatnonzero(done).tolist():
            choice.finished.append((self.tickets[i], self._outcome(i) if sound[i] else unsound()))
        if choice.finished:
            self.keep(~done)
        return choice

    def _decided(self, i: int) -> bool:
        """Whether no running hypothesis can change the answer any more, or may."""
        if len(self.ended[i]) < self.size:
            return False
        options = self.tickets[i].options
        running = self.sums[i, 0] / self.length[i] ** options.length_penalty
        return options.early_stopping or self.size == 1 or (self.ended[i][-1].score or 0.0) >= running

    def _outcome(self, i: int) -> Answer:
        options, length = self.tickets[i].options, int(self.length[i])
        cut = [
            Hypothesis(
                self.ids[i, j, :length].tolist(), "length", float(total) / length**options.length_penalty,
                self.gains[i, j, :length].tolist(),
            )
            for j, total in enumerate(self.sums[i])
            if np.isfinite(total)
        ]  # fmt: skip
        return Answer([*self.ended[i], *cut][: options.n_best])

    def keep(self, mask: np.ndarray) -> None:
        """Forget the tickets where the mask is False."""
        kept = np.flatnonzero(mask).tolist()
        self.tickets, self.ended = [self.tickets[i] for i in kept], [self.ended[i] for i in kept]
        self.rows, self.ids, self.gains, self.sums = self.rows[mask], self.ids[mask], self.gains[mask], self.sums[mask]
        self.length, self.limit = self.length[mask], self.limit[mask]


def _common(before: np.ndarray, after: np.ndarray, moved: np.ndarray) -> int:
    """How many ids every moved hypothesis shares with the one that it replaces: ids (N, k, T) each, moved (N, k)."""
    if not moved.any():
        return 0
    differ = (before[moved] != after[moved]).any(axis=0)  # (T,)
    return int(differ.argmax())


def _first(mask: np.ndarray, count: int) -> np.ndarray:
    """The positions of the first `count` True values of every line, of which each has as many: (N, M) -> (N, count)."""
    rank = np.cumsum(mask, axis=1)
    return np.nonzero(mask & (rank <= count))[1].reshape(len(mask), count)


def edited(group: Group) -> Iterator[int]:
    """The tickets of a group whose logits are changed before a token is chosen."""
    for index, ticket in enumerate(group.tickets):
        if ticket.options.edits:
            yield index
