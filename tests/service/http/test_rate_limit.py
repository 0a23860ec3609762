"""The rate limits of a caller, with a clock that the test sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import RateLimited
from service.http.rate_limit import MAX_CALLERS, RateLimiter


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def rejection(rate_limiter: RateLimiter, caller: str = "a") -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        rate_limiter.acquire(caller)
    return caught.value


def test_bucket_allows_one_burst_then_a_steady_rate() -> None:
    rate_limiter = RateLimiter(per_minute=6, clock=(clock := Clock()))
    for _ in range(6):
        rate_limiter.acquire("a")
    error = rejection(rate_limiter)
    assert str(error) == "a sends more than 6 requests a minute; try again in 10 s"
    assert error.headers == {"Retry-After": "10"}
    clock.now += 9.5
    assert rejection(rate_limiter).retry_after == 1
    clock.now += 0.5
    rate_limiter.acquire("a")
    assert rejection(rate_limiter).retry_after == 10


def test_waiting_for_retry_after_is_enough() -> None:
    rate_limiter = RateLimiter(per_minute=7, clock=(clock := Clock()))
    for _ in range(50):
        try:
            rate_limiter.acquire("a")
        except RateLimited as error:
            clock.now += error.retry_after or 0
            rate_limiter.acquire("a")


def test_callers_have_separate_limits() -> None:
    rate_limiter = RateLimiter(per_minute=1, clock=Clock())
    rate_limiter.acquire("a")
    rate_limiter.acquire("b")
    rejection(rate_limiter, "a")
    rejection(rate_limiter, "b")


def test_bucket_saves_up_at_most_one_minute() -> None:
    rate_limiter = RateLimiter(per_minute=2, clock=(clock := Clock()))
    rate_limiter.acquire("a")
    clock.now += 86_400
    rate_limiter.acquire("a")
    rate_limiter.acquire("a")
    rejection(rate_limiter)


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 20))
def test_no_minute_has_more_than_twice_the_limit(pauses: list[float], per_minute: int) -> None:
    """A full bucket allows the requests of one minute at once, and those of another one while it refills."""
    rate_limiter = RateLimiter(per_minute=per_minute, clock=(clock := Clock()))
    accepted = []
    for pause in pauses:
        clock.now += pause
        try:
            rate_limiter.acquire("a")
        except RateLimited:
            continue
        accepted.append(clock.now)
    for start in accepted:
        assert sum(start <= time < start + 60 for time in accepted) <= 2 * per_minute


def test_concurrent_requests_are_limited() -> None:
    rate_limiter = RateLimiter(concurrent=2, clock=Clock())
    rate_limiter.acquire("a")
    rate_limiter.acquire("a")
    error = rejection(rate_limiter)
    assert str(error) == "a has 2 requests running; at most 2 may run at once: wait for a response"
    assert error.retry_after == 1
    rate_limiter.acquire("b")
    rate_limiter.release("a")
    rate_limiter.acquire("a")
    rejection(rate_limiter)


def test_rejected_request_is_not_counted() -> None:
    rate_limiter = RateLimiter(per_minute=2, concurrent=1, clock=Clock())
    rate_limiter.acquire("a")
    rejection(rate_limiter)
    rejection(rate_limiter)
    rate_limiter.release("a")
    rate_limiter.acquire("a")
    rate_limiter.release("a")
    assert "more than 2 requests a minute" in str(rejection(rate_limiter))


def test_without_limits_every_request_is_accepted() -> None:
    rate_limiter = RateLimiter()
    for _ in range(1000):
        rate_limiter.acquire("a")
    rate_limiter.release("a")
    rate_limiter.release("b")


def test_memory_is_bounded_and_running_callers_are_kept() -> None:
    rate_limiter = RateLimiter(per_minute=1, concurrent=1, clock=Clock())
    rate_limiter.acquire("busy")
    for i in range(MAX_CALLERS + 10):
        rate_limiter.acquire(f"{i}")
        rate_limiter.release(f"{i}")
    assert len(rate_limiter._callers) == MAX_CALLERS
    assert "running" in str(rejection(rate_limiter, "busy"))
    assert "a minute" in str(rejection(rate_limiter, f"{MAX_CALLERS + 9}"))
    rate_limiter.acquire("0")  # was forgotten, so it has a full bucket
    rate_limiter.release("busy")


def test_limits_may_change_beside_running_requests() -> None:
    rate_limiter = RateLimiter()
    rate_limiter.acquire("a")
    rate_limiter.set_limits(0, 1)
    rate_limiter.acquire("a")
    assert "at most 1 may run at once" in str(rejection(rate_limiter))
    for _ in range(2):  # the first one was not counted
        rate_limiter.release("a")
    rate_limiter.acquire("a")
    rejection(rate_limiter)
