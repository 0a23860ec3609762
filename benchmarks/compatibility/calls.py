"""Run calls of a client one by one and count them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

Call = Callable[[], Any]


@dataclass
class Calls:
    """The calls that were answered as expected, and the errors of the others."""

    answered: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def run(self, name: str, call: Call) -> None:
        """Make a call; any exception, an assertion's too, means that it was not answered."""
        try:
            call()
        except Exception as error:  # of whatever class the client has
            self.failed[name] = f"{type(error).__name__}: {error}"[:300]
        else:
            self.answered.append(name)

    def run_async(self, name: str, call: Callable[[], Awaitable[Any]]) -> None:
        """Make a call of an asynchronous client."""
        self.run(name, lambda: asyncio.run(_await(call)))

    def report(self) -> int:
        """Print the counts and the errors; return the exit status."""
        lines = [f"{len(self.answered)} of {len(self.answered) + len(self.failed)} calls answered"]
        lines += [f"  {name}: {error}" for name, error in self.failed.items()]
        sys.stdout.write("\n".join(lines) + "\n")
        return 1 if self.failed else 0


async def _await(call: Callable[[], Awaitable[Any]]) -> None:
    await call()


def expect(found: object, expected: object) -> None:
    """Check an answer.

    Raises:
        AssertionError: it is another one.
    """
    if found != expected:
        raise AssertionError(f"{found!r} instead of {expected!r}")
