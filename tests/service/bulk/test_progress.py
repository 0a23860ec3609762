"""The reports of progress, in a terminal and elsewhere."""

import io

from service.bulk.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_log_gets_a_line_now_and_then() -> None:
    now, file = [0.0], io.StringIO()
    progress = Progress(1000, file, lambda: now[0])
    for seconds in range(0, 70, 10):
        now[0] = float(seconds)
        progress.update(100 + 10 * seconds, 100 + seconds, failed=1 if seconds else 0)
    progress.update(1000, 1000, 1, final=True)
    assert file.getvalue().splitlines() == [
        "400 lines, 13.0 %, 10 lines/s, 1 failed, 0:14:30 left",
        "700 lines, 16.0 %, 10 lines/s, 1 failed, 0:14:00 left",
        "1,000 lines, 100.0 %, 15 lines/s, 1 failed",
    ]


def test_terminal_gets_a_bar() -> None:
    now, file = [0.0], Terminal()
    progress = Progress(1000, file, lambda: now[0])
    progress.update(0, 0, 0)
    now[0] = 1.0
    progress.update(50, 500, 0)
    assert file.getvalue() == f"\r[{15 * '#'}{15 * '-'}] 50 lines, 50.0 %, 50 lines/s, 0:00:01 left\x1b[K"


def test_duration_has_hours() -> None:
    assert duration(3661.4) == "1:01:01"
