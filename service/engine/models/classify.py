"""The classification engine: batched like translation, but every request finishes in its first step."""

from service.artifact import Artifact
from service.engine.models.session import Session
from service.engine.models.translate import pad
from service.engine.types import EngineRequest, EngineResult, FinishedRequest


class ClassifyEngine:
    """The joined groups and the graph that classifies them; the workers of a pool share the graph."""

    pool_bytes = 0

    def __init__(self, artifact: Artifact, graph: Session) -> None:
        self.special_tokens, self.graph = artifact.manifest.special_tokens, graph
        self.groups: list[list[EngineRequest]] = []

    def join(self, group: list[EngineRequest]) -> None:
        """Add a group, to be computed in the next step."""
        self.groups.append(group)

    def step(self) -> list[FinishedRequest]:
        """Compute the class probabilities of all joined requests, one run per group."""
        finished: list[FinishedRequest] = []
        for group in self.groups:
            inputs = pad([request.ids for request in group], self.special_tokens.pad)
            probabilities = self.graph.run(inputs)["probability"]  # (B, labels)
            finished += zip(group, map(EngineResult.classification, probabilities.tolist()), strict=True)
        self.groups = []
        return finished

    def drop(self, requests: list[EngineRequest]) -> None:
        """Do nothing: no request outlives the step after its join."""

    def clear(self) -> None:
        """Remove all groups."""
        self.groups = []
