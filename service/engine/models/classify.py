"""The classification engine: the same walk as translation with one step, in which every row finishes."""

from service.artifact import Artifact
from service.engine.models.session import Session
from service.engine.models.translate import pad
from service.engine.types import EngineRequest, EngineResult, FinishedRequest


class ClassifyEngine:
    """The groups that joined, and the graph that classifies them; the model's workers share the graph."""

    pool_bytes = 0

    def __init__(self, artifact: Artifact, graph: Session) -> None:
        self.special_tokens, self.graph = artifact.manifest.special_tokens, graph
        self.groups: list[list[EngineRequest]] = []

    def join(self, group: list[EngineRequest]) -> None:
        """A group to be computed by the next step."""
        self.groups.append(group)

    def step(self) -> list[FinishedRequest]:
        """The label probabilities of every row."""
        finished: list[FinishedRequest] = []
        for group in self.groups:
            found = self.graph.run(pad([request.ids for request in group], self.special_tokens.pad))["probability"]
            finished += zip(group, map(EngineResult.classification, found.tolist()), strict=True)
        self.groups = []
        return finished

    def drop(self, requests: list[EngineRequest]) -> None:
        """Tickets never outlive their step, so there is nothing to drop."""

    def clear(self) -> None:
        """Forget the groups that joined."""
        self.groups = []
