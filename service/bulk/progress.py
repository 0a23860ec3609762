"""The progress of a translation on stderr: a bar that is drawn again in a terminal, else a line now and then."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 30  # characters of the bar
IN_TERMINAL, ELSEWHERE = 0.2, 30.0  # seconds between two reports


class Progress:
    """Reports lines, share of the input, rate and remaining time. `clock` returns seconds."""

    def __init__(self, size: int, file: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """`size` is that of the input in bytes."""
        self._size, self._file, self._clock = max(1, size), file or sys.stderr, clock
        self._terminal = self._file.isatty()
        self._interval = IN_TERMINAL if self._terminal else ELSEWHERE
        self._started = self._reported = clock()
        self._first: tuple[int, int] | None = None  # lines and position of the first report of this run

    def update(self, lines: int, position: int, failed: int, final: bool = False) -> None:
        """Report, if it is time, that so many lines are done, up to a position of the input."""
        now = self._clock()
        if self._first is None:
            self._first = lines, position
        if not final and now < self._reported + self._interval:
            return
        self._reported = now
        first_lines, first_position = self._first
        seconds = max(now - self._started, 1e-9)
        share = min(1.0, position / self._size)
        text = f"{lines:,} lines, {100 * share:.1f} %, {(lines - first_lines) / seconds:,.0f} lines/s"
        if failed:
            text += f", {failed:,} failed"
        if not final and position > first_position:
            text += f", {duration((self._size - position) * seconds / (position - first_position))} left"
        if self._terminal:
            full = round(WIDTH * share)
            self._file.write(f"\r[{'#' * full}{'-' * (WIDTH - full)}] {text}\x1b[K" + ("\n" if final else ""))
        else:
            self._file.write(f"{text}\n")
        self._file.flush()


def duration(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}"
