"""The classification engine: batched like translation, but every request finishes in its first step."""

from service.artifact import Artifact
from service.engine.models.session import Session
from service.engine.models.source import SourceFormat
from service.engine.types import EngineRequest, EngineResult, FinishedRequest


class ClassifyEngine:
    """The joined groups and the graph that classifies them; the workers of a pool share the graph."""

    pool_bytes = 0

    def __init__(self, artifact: Artifact, graph: Session) -> None:
        self.graph = graph
        self.source_format = SourceFormat.of(graph, artifact.manifest.special_tokens.pad)
        self.groups: list[list[EngineRequest]] = []

    def divide(self, requests: list[EngineRequest]) -> list[list[EngineRequest]]:
        """Divide newcomers into the groups that share a run."""
        return self.source_format.divide(requests)

    def join(self, group: list[EngineRequest]) -> None:
        """Add a group, to be computed in the next step."""
        self.groups.append(group)

    def step(self) -> list[FinishedRequest]:
        """Compute the class probabilities of all joined requests, one run per group."""
        finished: list[FinishedRequest] = []
        for group in self.groups:
            inputs = self.source_format.arrays([request.ids for request in group])
            probabilities = self.graph.run(inputs)["probability"]  # (B, labels)
            finished += zip(group, map(EngineResult.classification, probabilities.tolist()), strict=True)
        self.groups = []
        return finished

    def drop(self, requests: list[EngineRequest]) -> None:
        """Do nothing: no request outlives the step after its join."""

    def clear(self) -> None:
        """Remove all groups."""
        self.groups = []
