"""Limits of a caller, on a clock that the test sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import RateLimited
from service.http.rate_limit import MOST_CALLERS, RateLimiter


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def refusal(rate_limiter: RateLimiter, caller: str = "a") -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        rate_limiter.enter(caller)
    return caught.value


def test_so_many_requests_may_come_at_once_and_then_they_come_evenly() -> None:
    rate_limiter = RateLimiter(per_minute=6, clock=(clock := Clock()))
    for _ in range(6):
        rate_limiter.enter("a")
    fault = refusal(rate_limiter)
    assert str(fault) == "a asks more than 6 times a minute; try again in 10 s"
    assert fault.headers == {"Retry-After": "10"}
    clock.now += 9.5
    assert refusal(rate_limiter).retry_after == 1
    clock.now += 0.5
    rate_limiter.enter("a")
    assert refusal(rate_limiter).retry_after == 10


def test_who_waits_as_told_is_let_in() -> None:
    rate_limiter = RateLimiter(per_minute=7, clock=(clock := Clock()))
    for _ in range(50):
        try:
            rate_limiter.enter("a")
        except RateLimited as fault:
            clock.now += fault.retry_after or 0
            rate_limiter.enter("a")


def test_callers_do_not_spend_each_others_requests() -> None:
    rate_limiter = RateLimiter(per_minute=1, clock=Clock())
    rate_limiter.enter("a")
    rate_limiter.enter("b")
    refusal(rate_limiter, "a")
    refusal(rate_limiter, "b")


def test_silence_saves_up_a_minute_and_no_more() -> None:
    rate_limiter = RateLimiter(per_minute=2, clock=(clock := Clock()))
    rate_limiter.enter("a")
    clock.now += 86_400
    rate_limiter.enter("a")
    rate_limiter.enter("a")
    refusal(rate_limiter)


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 20))
def test_no_minute_has_more_than_twice_the_limit(pauses: list[float], per_minute: int) -> None:
    """A bucket that is full gives one minute's requests at once, and another minute's while it passes."""
    rate_limiter = RateLimiter(per_minute=per_minute, clock=(clock := Clock()))
    taken = []
    for pause in pauses:
        clock.now += pause
        try:
            rate_limiter.enter("a")
        except RateLimited:
            continue
        taken.append(clock.now)
    for start in taken:
        assert sum(start <= time < start + 60 for time in taken) <= 2 * per_minute


def test_at_once() -> None:
    rate_limiter = RateLimiter(at_once=2, clock=Clock())
    rate_limiter.enter("a")
    rate_limiter.enter("a")
    fault = refusal(rate_limiter)
    assert str(fault) == "a has 2 requests running; at most 2 are taken at once: wait for an answer"
    assert fault.retry_after == 1
    rate_limiter.enter("b")
    rate_limiter.leave("a")
    rate_limiter.enter("a")
    refusal(rate_limiter)


def test_a_refused_request_costs_nothing() -> None:
    rate_limiter = RateLimiter(per_minute=2, at_once=1, clock=Clock())
    rate_limiter.enter("a")
    refusal(rate_limiter)
    refusal(rate_limiter)
    rate_limiter.leave("a")
    rate_limiter.enter("a")
    rate_limiter.leave("a")
    assert "more than 2 times a minute" in str(refusal(rate_limiter))


def test_without_limits_nobody_is_counted() -> None:
    rate_limiter = RateLimiter()
    for _ in range(1000):
        rate_limiter.enter("a")
    rate_limiter.leave("a")
    rate_limiter.leave("b")


def test_the_memory_is_bounded_and_whoever_runs_stays() -> None:
    rate_limiter = RateLimiter(per_minute=1, at_once=1, clock=Clock())
    rate_limiter.enter("runs")
    for i in range(MOST_CALLERS + 10):
        rate_limiter.enter(f"{i}")
        rate_limiter.leave(f"{i}")
    assert len(rate_limiter._callers) == MOST_CALLERS
    assert "running" in str(refusal(rate_limiter, "runs"))
    assert "a minute" in str(refusal(rate_limiter, f"{MOST_CALLERS + 9}"))
    rate_limiter.enter("0")  # forgotten, so it starts anew
    rate_limiter.leave("runs")
