"""How many requests may be in flight: under overload no more than can be answered in a fraction of a second.

What is in flight beyond that adds nothing to the rate of answers, only to their latency. By Little's law, requests in
flight = rate of answers x latency, so that the limit for a latency is the measured rate times this latency.
"""

TARGET_SECONDS = 0.25  # the latency that the limit allows for under overload
MIN_REQUESTS = 64  # enough to fill the batches of the models, on a slow machine too
SMOOTHING_SECONDS = 0.5  # time constant of the measured rate
RECOVERY_SECONDS = 1.0  # without a refusal until the maximum is allowed again


class ConcurrencyLimit:
    """The limit of requests in flight; it is `maximum` until requests are refused, and for a while after that lower."""

    def __init__(self, maximum: int) -> None:
        self.maximum = self.value = maximum
        self._rate = 0.0  # answers per second
        self._answered = 0
        self._at: float | None = None
        self._refused_at = -RECOVERY_SECONDS

    def update(self, now: float, answered: int, refused: bool) -> None:
        """Take note of what happened since the last update.

        `now` is time.monotonic(), `answered` the number of all answers so far, `refused` whether a request had to be
        refused.
        """
        if self._at is not None and now > self._at:
            seconds = now - self._at
            share = seconds / (seconds + SMOOTHING_SECONDS)
            self._rate += share * ((answered - self._answered) / seconds - self._rate)
        self._at, self._answered = now, answered
        if refused:
            self._refused_at = now
        if now - self._refused_at < RECOVERY_SECONDS:
            self.value = min(self.maximum, max(MIN_REQUESTS, round(self._rate * TARGET_SECONDS)))
        else:
            self.value = self.maximum
