"""A discrete-event simulation of many instances behind a load balancer, from the measured rates of one.

An instance computes all sentences in flight together, each at the same speed: with n of them it completes rate(n) a
second, as measured. A request is answered when its longest sentence is.
"""

import bisect
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

Curve = Sequence[tuple[int, float]]  # sentences in flight, and sentences completed a second; both ascending


@dataclass(frozen=True)
class Workload:
    """Bursty requests: a Poisson process whose rate changes between calm and burst, after exponential times."""

    sentences: Sequence[tuple[int, float]]  # of a request, and the share of such requests
    lengths: Sequence[float]  # of sentences to their mean, equally probable
    burst: float = 1.5  # the rate of a burst to the mean rate
    burst_share: float = 0.25  # of the time
    burst_seconds: float = 10.0  # mean

    @property
    def mean_sentences(self) -> float:
        return sum(count * share for count, share in self.sentences)

    def arrivals(self, per_second: float, seconds: float, rng: random.Random) -> Iterator[tuple[float, int, float]]:
        """Yield time, number of sentences, and length of the longest sentence of each request."""
        counts, shares = zip(*self.sentences, strict=True)
        calm = (1 - self.burst * self.burst_share) / (1 - self.burst_share)
        calm_seconds = self.burst_seconds * (1 - self.burst_share) / self.burst_share
        now, bursting, changes = 0.0, False, rng.expovariate(1 / calm_seconds)
        while now < seconds:
            step = rng.expovariate(per_second * (self.burst if bursting else calm))
            if now + step >= changes:  # the process has no memory: draw again from the change on
                now, bursting = changes, not bursting
                changes = now + rng.expovariate(1 / (self.burst_seconds if bursting else calm_seconds))
                continue
            now += step
            [count] = rng.choices(counts, shares)
            yield now, count, max(rng.choices(self.lengths, k=min(count, 8)))


class Instance:
    """One instance: its requests progress together."""

    def __init__(self, curve: Curve, limit: int) -> None:
        self._counts, self._rates = [n for n, _ in curve], [rate for _, rate in curve]
        self.limit, self.sentences = limit, 0
        self._progress = self._since = 0.0  # sentences of mean length that each row has computed; until when
        self._running: list[tuple[float, float, int]] = []  # progress at the end, arrival, sentences
        self.version = 0  # changes whenever the time of the next answer does

    @property
    def requests(self) -> int:
        return len(self._running)

    def rate(self, count: int) -> float:
        """Return the sentences completed a second with so many in flight, interpolated; constant beyond the last."""
        at = bisect.bisect_left(self._counts, count)
        if at == len(self._counts):
            return self._rates[-1]
        if at == 0 or self._counts[at] == count:
            return self._rates[at]
        low, high = self._counts[at - 1], self._counts[at]
        share = (count - low) / (high - low)
        return self._rates[at - 1] + share * (self._rates[at] - self._rates[at - 1])

    def _advance(self, now: float) -> None:
        if self.sentences:
            self._progress += (now - self._since) * self.rate(self.sentences) / self.sentences
        self._since = now

    def add(self, now: float, sentences: int, length: float) -> bool:
        """Take a request; return false if too many are in flight."""
        if len(self._running) >= self.limit:
            return False
        self._advance(now)
        self.sentences += sentences
        heapq.heappush(self._running, (self._progress + length, now, sentences))
        self.version += 1
        return True

    def next_answer(self) -> float:
        """Return the time of the next answer, if nothing arrives before."""
        [first, *_] = self._running
        return self._since + max(0.0, first[0] - self._progress) * self.sentences / self.rate(self.sentences)

    def answer(self, now: float) -> float:
        """Complete the next request; return its latency."""
        self._advance(now)
        _, arrived, sentences = heapq.heappop(self._running)
        self.sentences -= sentences
        self.version += 1
        return now - arrived


Choose = Callable[[Sequence[Instance], random.Random], int]


def least_loaded(instances: Sequence[Instance], rng: random.Random) -> int:
    """Return the instance with the fewest requests; any of several."""
    fewest = min(one.requests for one in instances)
    return rng.choice([index for index, one in enumerate(instances) if one.requests == fewest])


def two_choices(instances: Sequence[Instance], rng: random.Random) -> int:
    """Return the less loaded one of two random instances."""
    return min(rng.randrange(len(instances)), rng.randrange(len(instances)), key=lambda one: instances[one].requests)


def at_random(instances: Sequence[Instance], rng: random.Random) -> int:
    return rng.randrange(len(instances))


def round_robin() -> Choose:
    numbers = itertools.count()
    return lambda instances, _: next(numbers) % len(instances)


def balancers() -> dict[str, Choose]:
    return {"least loaded": least_loaded, "two choices": two_choices, "round robin": round_robin(), "random": at_random}


@dataclass
class Outcome:
    """What the clients of a simulation saw."""

    latencies: list[float] = field(default_factory=list)
    refused: int = 0
    sentences: int = 0  # answered

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the latencies by nearest rank, in ms; 0 without an answer."""
        ordered = sorted(self.latencies) or [0.0]
        return 1000 * ordered[max(0, min(len(ordered) - 1, round(percent / 100 * len(ordered)) - 1))]

    @property
    def refused_share(self) -> float:
        return self.refused / max(1, self.refused + len(self.latencies))


def simulate(
    curve: Curve,
    instances: int,
    per_second: float,
    workload: Workload,
    seconds: float,
    choose: Choose = least_loaded,
    limit: int = 128,
    seed: int = 1,
    warm_up: float = 0.1,
) -> Outcome:
    """Simulate requests (`per_second`, of all instances together) for a time; the first part of it is not counted.

    `limit` is ATTENDANT_MAX_REQUESTS.
    """
    rng = random.Random(seed)
    fleet, outcome = [Instance(curve, limit) for _ in range(instances)], Outcome()
    answers: list[tuple[float, int, int]] = []  # time, instance, and the version of it that this holds for
    arrivals = deque(workload.arrivals(per_second, seconds, rng))
    while arrivals or answers:
        if answers and (not arrivals or answers[0][0] <= arrivals[0][0]):
            now, index, version = heapq.heappop(answers)
            if version != fleet[index].version:
                continue
            sentences = fleet[index].sentences
            latency = fleet[index].answer(now)
            if now - latency >= warm_up * seconds:
                outcome.latencies.append(latency)
                outcome.sentences += sentences - fleet[index].sentences
        else:
            now, count, length = arrivals.popleft()
            index = choose(fleet, rng)
            if not fleet[index].add(now, count, length):
                outcome.refused += now >= warm_up * seconds
                continue
        if fleet[index].requests:
            heapq.heappush(answers, (fleet[index].next_answer(), index, fleet[index].version))
    return outcome
