"""Limits of a caller, on a clock that the test sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import RateLimited
from service.http.rate_limit import MOST_CALLERS, Limits


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def refusal(limits: Limits, caller: str = "a") -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        limits.enter(caller)
    return caught.value


def test_so_many_requests_may_come_at_once_and_then_they_come_evenly() -> None:
    limits = Limits(per_minute=6, clock=(clock := Clock()))
    for _ in range(6):
        limits.enter("a")
    fault = refusal(limits)
    assert str(fault) == "a asks more than 6 times a minute; try again in 10 s"
    assert fault.headers == {"Retry-After": "10"}
    clock.now += 9.5
    assert refusal(limits).retry_after == 1
    clock.now += 0.5
    limits.enter("a")
    assert refusal(limits).retry_after == 10


def test_who_waits_as_told_is_let_in() -> None:
    limits = Limits(per_minute=7, clock=(clock := Clock()))
    for _ in range(50):
        try:
            limits.enter("a")
        except RateLimited as fault:
            clock.now += fault.retry_after or 0
            limits.enter("a")


def test_callers_do_not_spend_each_others_requests() -> None:
    limits = Limits(per_minute=1, clock=Clock())
    limits.enter("a")
    limits.enter("b")
    refusal(limits, "a")
    refusal(limits, "b")


def test_silence_saves_up_a_minute_and_no_more() -> None:
    limits = Limits(per_minute=2, clock=(clock := Clock()))
    limits.enter("a")
    clock.now += 86_400
    limits.enter("a")
    limits.enter("a")
    refusal(limits)


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 20))
def test_no_minute_has_more_than_twice_the_limit(pauses: list[float], per_minute: int) -> None:
    """A bucket that is full gives one minute's requests at once, and another minute's while it passes."""
    limits = Limits(per_minute=per_minute, clock=(clock := Clock()))
    taken = []
    for pause in pauses:
        clock.now += pause
        try:
            limits.enter("a")
        except RateLimited:
            continue
        taken.append(clock.now)
    for start in taken:
        assert sum(start <= time < start + 60 for time in taken) <= 2 * per_minute


def test_at_once() -> None:
    limits = Limits(at_once=2, clock=Clock())
    limits.enter("a")
    limits.enter("a")
    fault = refusal(limits)
    assert str(fault) == "a has 2 requests running; at most 2 are taken at once: wait for an answer"
    assert fault.retry_after == 1
    limits.enter("b")
    limits.leave("a")
    limits.enter("a")
    refusal(limits)


def test_a_refused_request_costs_nothing() -> None:
    limits = Limits(per_minute=2, at_once=1, clock=Clock())
    limits.enter("a")
    refusal(limits)
    refusal(limits)
    limits.leave("a")
    limits.enter("a")
    limits.leave("a")
    assert "more than 2 times a minute" in str(refusal(limits))


def test_without_limits_nobody_is_counted() -> None:
    limits = Limits()
    for _ in range(1000):
        limits.enter("a")
    limits.leave("a")
    limits.leave("b")


def test_the_memory_is_bounded_and_whoever_runs_stays() -> None:
    limits = Limits(per_minute=1, at_once=1, clock=Clock())
    limits.enter("runs")
    for i in range(MOST_CALLERS + 10):
        limits.enter(f"{i}")
        limits.leave(f"{i}")
    assert len(limits._callers) == MOST_CALLERS
    assert "running" in str(refusal(limits, "runs"))
    assert "a minute" in str(refusal(limits, f"{MOST_CALLERS + 9}"))
    limits.enter("0")  # forgotten, so it starts anew
    limits.leave("runs")
