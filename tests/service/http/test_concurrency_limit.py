"""The limit of requests in flight follows the rate of answers, but only under overload."""

import pytest

from service.http.concurrency_limit import (
    CALM_SECONDS,
    MIN_REQUESTS,
    RECOVERY_SECONDS,
    TARGET_SECONDS,
    ConcurrencyLimit,
)


def run(limit: ConcurrencyLimit, rate: float, seconds: float, *, refused: float, start: float = 100.0) -> float:
    """Update the limit every 50 ms at a rate of answers, and of refusals; return the time at the end."""
    steps = round(seconds / 0.05)
    for step in range(1, steps + 1):
        limit.update(start + step * 0.05, round(rate * (start + step * 0.05)), round(refused * 0.05))
    return start + steps * 0.05


@pytest.mark.parametrize("rate", [10, 1000])
def test_without_refusals_the_limit_is_the_maximum(rate: float) -> None:
    limit = ConcurrencyLimit(500)
    run(limit, rate, 10, refused=0)
    assert limit.value == 500


@pytest.mark.parametrize(("rate", "value"), [(10, MIN_REQUESTS), (1000, 1000 * TARGET_SECONDS), (10_000, 500)])
def test_under_overload_it_is_what_can_be_answered_in_the_target_time(rate: float, value: float) -> None:
    limit = ConcurrencyLimit(500)
    run(limit, rate, 10, refused=5 * rate)
    assert limit.value == pytest.approx(value, rel=0.05)


@pytest.mark.parametrize(("refused", "value"), [(60, 2 * MIN_REQUESTS), (1000, MIN_REQUESTS)])
def test_twice_as_many_are_allowed_where_few_are_refused(refused: float, value: int) -> None:
    limit = ConcurrencyLimit(500)
    now = run(limit, 200, 10, refused=5000)
    run(limit, 200, 0.1, refused=refused, start=now)
    assert limit.value == value


def test_after_the_overload_it_is_the_maximum_again() -> None:
    limit = ConcurrencyLimit(2000)
    now = run(limit, 1000, 5, refused=5000)
    now = run(limit, 1000, CALM_SECONDS - 0.1, refused=0, start=now)
    assert limit.value == pytest.approx(2 * 1000 * TARGET_SECONDS, rel=0.05)
    now = run(limit, 1000, RECOVERY_SECONDS - CALM_SECONDS, refused=0, start=now)
    assert limit.value == pytest.approx(4 * 1000 * TARGET_SECONDS, rel=0.05)
    run(limit, 1000, 0.2, refused=0, start=now)
    assert limit.value == 2000


def test_maximum_below_the_minimum_holds() -> None:
    limit = ConcurrencyLimit(2)
    run(limit, 1000, 5, refused=5000)
    assert limit.value == 2
