"""The simulation against what queueing theory says, and its balancers."""

import random

import pytest

from benchmarks.operations.simulation import Workload, balancers, simulate

SINGLE = Workload([(1, 1.0)], [1.0], burst=1.0)
MIXED = Workload([(1, 0.8), (8, 0.2)], [0.5, 1.0, 1.5])
CURVE = [(1, 10.0), (4, 30.0), (16, 60.0)]


def test_one_instance_at_a_constant_rate_is_processor_sharing() -> None:
    """The mean time in M/G/1 processor sharing is S / (1 - load), whatever the distribution."""
    for load in (0.3, 0.6):
        latencies = simulate([(1, 10.0)], 1, 10 * load, SINGLE, 4000, limit=10**6).latencies
        assert sum(latencies) / len(latencies) == pytest.approx(0.1 / (1 - load), rel=0.1)


def test_a_lone_request_takes_the_time_of_its_longest_sentence() -> None:
    found = simulate(CURVE, 1, 0.001, Workload([(4, 1.0)], [1.0], burst=1.0), 20_000, warm_up=0.0)
    assert found.latencies
    assert found.latencies == pytest.approx([4 / 30] * len(found.latencies))


def test_nothing_is_lost_and_the_limit_refuses() -> None:
    requests = len(list(MIXED.arrivals(40, 20, random.Random(1))))
    free = simulate(CURVE, 2, 40, MIXED, 20, limit=10**6, warm_up=0.0)
    assert (len(free.latencies), free.refused) == (requests, 0)
    limited = simulate(CURVE, 2, 40, MIXED, 20, limit=4, warm_up=0.0)
    assert len(limited.latencies) + limited.refused == requests
    assert limited.refused > 0
    assert max(limited.latencies) < max(free.latencies)


def test_bursts_keep_the_mean_rate_and_make_it_uneven() -> None:
    def counts(burst: float) -> list[int]:
        workload = Workload([(1, 1.0)], [1.0], burst=burst)
        seconds = [0] * 2000
        for time, _, _ in workload.arrivals(20, 2000, random.Random(3)):
            seconds[min(int(time), 1999)] += 1
        return seconds

    even, bursty = counts(1.0), counts(3.0)
    assert sum(bursty) == pytest.approx(40_000, rel=0.3)
    mean = sum(even) / 2000
    assert sum((n - mean) ** 2 for n in bursty) > 3 * sum((n - mean) ** 2 for n in even)


def test_balancers_that_look_are_better_than_chance() -> None:
    p99 = {}
    for name, choose in balancers().items():
        found = simulate(CURVE, 10, 10 * 60 * 0.5 / MIXED.mean_sentences, MIXED, 60, choose)
        p99[name] = found.percentile_ms(99)
        assert found.refused == 0
    assert p99["least loaded"] < p99["random"]
    assert p99["two choices"] < p99["random"]


def test_rates_between_measured_ones_are_interpolated() -> None:
    two = simulate([(1, 10.0), (3, 20.0)], 1, 0.001, Workload([(2, 1.0)], [1.0], burst=1.0), 20_000, warm_up=0.0)
    assert two.latencies[0] == pytest.approx(2 / 15)
    many = simulate([(1, 10.0), (3, 20.0)], 1, 0.001, Workload([(9, 1.0)], [1.0], burst=1.0), 20_000, warm_up=0.0)
    assert many.latencies[0] == pytest.approx(9 / 20)
