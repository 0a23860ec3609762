"""The engine process: all crews, in an interpreter that reads no requests. `service/engine/process/client.py` starts
it.

    python -m service.engine.process DESCRIPTOR

A worker needs Python several times between two steps, and in the interpreter that reads requests it would have to wait
for those every time.
"""

import signal
import sys
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from service.artifact import ArtifactError
from service.engine.factory import hire
from service.engine.process import messages
from service.engine.process.runtime import keep_what_is_loaded, prepare
from service.engine.queue import Closed
from service.engine.types import Answer, Ticket
from service.engine.worker import Crew

LAST_STEP = 10.0  # seconds for the steps that run when the service has gone


class Pipe:
    """The engine process's end; workers and the thread that reads write to it."""

    def __init__(self, descriptor: int) -> None:
        self._connection, self._lock = Connection(descriptor), threading.Lock()

    def read(self) -> Any:
        """The next message; None when the service has gone."""
        try:
            return self._connection.recv()
        except (EOFError, ConnectionError):
            return None

    def write(self, reply: messages.Reply) -> None:
        """Nothing is written to a service that has gone."""
        try:
            with self._lock:
                self._connection.send(reply)
        except ConnectionError:
            return


class Clerk:
    """Takes a crew's tickets from the pipe, writes down what happens to them, and reports it when a turn ends."""

    def __init__(self, name: str, pipe: Pipe) -> None:
        self.name, self._pipe = name, pipe
        self._crew: Crew | None = None
        self._tickets: dict[int, Ticket] = {}
        self._numbers: dict[Ticket, int] = {}
        self._events: deque[messages.Event] = deque()  # several threads append
        self._reporting = threading.Lock()

    def serve(self, crew: Crew) -> None:
        """From now on tickets may come for this crew."""
        self._crew = crew

    def submit(self, handed: Sequence[messages.Handed]) -> None:
        """Hand in what the service has admitted."""
        assert self._crew is not None
        with suppress(Closed):  # the service has been told that a worker died, and fails what waits by itself
            self._crew.queue.submit([self._ticket(one) for one in handed])

    def _ticket(self, handed: messages.Handed) -> Ticket:
        number = handed.number
        ticket = Ticket(handed.ids, handed.options, handed.translation, submitted=handed.submitted)
        if handed.listening:
            ticket.on_token = lambda token: self._events.append(messages.Written(number, token))
        self._tickets[number], self._numbers[ticket] = ticket, number
        ticket.future.add_done_callback(lambda future: self._ended(ticket, future))
        return ticket

    def withdraw(self, number: int) -> None:
        """Nobody waits for the ticket any more."""
        if (ticket := self._tickets.get(number)) is not None:
            ticket.future.cancel()

    def leave(self) -> None:
        """Nobody waits for any ticket any more."""
        for ticket in list(self._tickets.values()):
            ticket.future.cancel()

    def encoded(self, group: Sequence[Ticket], seconds: float) -> None:
        numbers = [self._numbers.get(ticket) for ticket in group]  # none of those that are withdrawn
        self._events.append(messages.Encoded([number for number in numbers if number is not None], seconds))

    def stepped(self, rows: int, seconds: float) -> None:
        self._events.append(messages.Stepped(rows, seconds))

    def answered(self, answers: int) -> None:
        self._events.append(messages.Settled(answers))

    def failed(self) -> None:
        self._events.append(messages.Failed())

    def turned(self) -> None:
        """Report what has happened, in the order in which it did."""
        assert self._crew is not None
        with self._reporting:
            events = [self._events.popleft() for _ in range(len(self._events))]
            if events:
                self._pipe.write(messages.Report(self.name, events, self._crew.pool_bytes, self._crew.queue.closed))

    def _ended(self, ticket: Ticket, future: "Future[Answer]") -> None:
        number = self._numbers.pop(ticket)
        del self._tickets[number]
        if not future.cancelled():
            error = future.exception()
            self._events.append(messages.Ended(number, error if isinstance(error, Exception) else future.result()))


def main(arguments: Sequence[str]) -> int:
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, signal.SIG_IGN)  # they tell the service, which answers what it took before it leaves
    prepare()
    pipe = Pipe(int(arguments[0]))
    clerks: dict[str, Clerk] = {}

    def observer(name: str) -> Clerk:
        return clerks.setdefault(name, Clerk(name, pipe))

    opening: messages.Opening | None = pipe.read()
    if opening is None:
        return 0
    try:
        crews = hire(opening.artifacts, opening.posts, observer)
    except ArtifactError as error:
        pipe.write(error)
        return 1
    for name, crew in crews.items():
        clerks[name].serve(crew)
    keep_what_is_loaded()
    pipe.write(messages.Opened(list(crews)))
    while (letters := pipe.read()) is not None:
        for letter in letters:
            if isinstance(letter, messages.Submitted):
                clerks[letter.crew].submit(letter.tickets)
            else:
                clerks[letter.crew].withdraw(letter.number)
    for clerk in clerks.values():
        clerk.leave()
    # A thread that still runs a graph when the interpreter ends would abort the process.
    return 0 if all([crew.drain(LAST_STEP) for crew in crews.values()]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
