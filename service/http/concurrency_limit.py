"""How many requests may be in flight: under overload no more than can be answered in a fraction of a second.

What is in flight beyond that adds nothing to the rate of answers, only to their latency. By Little's law, requests in
flight = rate of answers x latency, so that the limit for a latency is the measured rate times this latency.
"""

TARGET_SECONDS = 0.25  # the latency that the limit allows for under overload
MIN_REQUESTS = 64  # enough to fill the batches of the models, on a slow machine too
SMOOTHING_SECONDS = 0.5  # time constant of the measured rate
RECOVERY_SECONDS = 1.0  # without a refusal until the maximum is allowed again
CALM_SECONDS = 0.2  # without a refusal until four times as many may be in flight: the overload has probably ended
FEW = 0.5  # refusals for each answer, up to which the service is not swamped, and twice as many may be in flight


class ConcurrencyLimit:
    """The limit of requests in flight; it is `maximum` until requests are refused, and for a while after that lower.

    It is lowest while many more come than can be answered. When only a burst does not fit, or when an overload has just
    ended, a longer queue costs less than refusals do.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = self.value = maximum
        self._rate = 0.0  # answers per second
        self._answered = 0
        self._at: float | None = None
        self._refused_at = -RECOVERY_SECONDS

    def update(self, now: float, answered: int, refused: int) -> None:
        """Take note of what happened since the last update.

        `now` is time.monotonic(), `answered` the number of all answers so far, `refused` that of the requests refused
        since the last update.
        """
        swamped = False
        if self._at is not None and now > self._at:
            seconds = now - self._at
            share = seconds / (seconds + SMOOTHING_SECONDS)
            self._rate += share * ((answered - self._answered) / seconds - self._rate)
            swamped = refused > FEW * self._rate * seconds
        self._at, self._answered = now, answered
        if refused:
            self._refused_at = now
        least = max(MIN_REQUESTS, round(self._rate * TARGET_SECONDS))
        calm = now - self._refused_at
        if calm >= RECOVERY_SECONDS:
            self.value = self.maximum
        else:
            self.value = min(self.maximum, least * (4 if calm >= CALM_SECONDS else 1 if swamped else 2))
