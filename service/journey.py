"""A request's segments on their way through the models: handed in together, followed up as their answers come."""

from dataclasses import replace

from service.desk import Visit
from service.engine.scheduler import Answer, Ticket
from service.errors import NotReady, Overloaded
from service.model import Wanted
from service.passage import Leg, Segment


class Journey:
    """What is on its way in a visit."""

    def __init__(self, visit: Visit, wanted: Wanted) -> None:
        self.visit, self.wanted = visit, wanted
        self._open: dict[Ticket, Segment] = {}
        self.source_tokens = self.target_tokens = 0
        self.queue_ms = self.compute_ms = 0.0

    @property
    def ended(self) -> bool:
        """Whether all segments are done."""
        return not self._open

    def start(self, segments: list[Segment]) -> None:
        """Hand segments in, all at once to each model; see `Desk.submit` and `ServedModel.ticket` for the errors."""
        by_leg: dict[Leg, list[Segment]] = {}
        for segment in segments:
            by_leg.setdefault(segment.leg, []).append(segment)
        for leg, group in by_leg.items():
            tickets = self._tickets(leg, group)
            self.visit.submit(leg.model.desk, tickets)
            self._open.update(zip(tickets, group, strict=True))

    def _tickets(self, leg: Leg, segments: list[Segment]) -> list[Ticket]:
        sources = leg.model.sources([segment.unit.text for segment in segments], leg.direction)
        return [
            leg.model.ticket(ids, replace(self.wanted, prefix=segment.prefix))
            for ids, segment in zip(sources, segments, strict=True)
        ]

    async def proceed(self) -> list[Segment]:
        """Wait for some answers and follow them up at once; returns the segments that got them.

        What must be translated anew joins the running batch; where the queue has no room for it, its source stays.
        See `Visit.settled` for the errors.
        """
        answered = []
        for ticket, answer in await self.visit.settled():
            segment = self._open.pop(ticket)
            self._count(ticket, answer)
            parts = segment.settle(answer)
            try:
                self.start(parts)
            except (Overloaded, NotReady):
                for part in parts:
                    part.give_up()
            answered.append(segment)
        return answered

    def _count(self, ticket: Ticket, answer: Answer) -> None:
        self.source_tokens += len(ticket.ids)
        self.target_tokens += len(answer.ids)
        self.queue_ms = max(self.queue_ms, answer.queue_ms)
        self.compute_ms = max(self.compute_ms, answer.compute_ms)
