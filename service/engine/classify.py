"""The classification engine: the same walk as translation with one step, in which every row finishes."""

import numpy as np

from service.artifact import Artifact
from service.engine.scheduler import Answer, Running, Ticket
from service.engine.session import Arrays, Session
from service.engine.translate import pad


class ClassifyEngine:
    """The groups that joined, and the graph that classifies them."""

    def __init__(self, artifact: Artifact, threads: int) -> None:
        self.marks = artifact.manifest.marks
        self.graph = Session(artifact.graph("classify"), threads)
        self.groups: list[Arrays] = []

    def join(self, group: list[Ticket]) -> None:
        """Pad a group; it is computed by the next step."""
        self.groups.append(pad([ticket.ids for ticket in group], self.marks.pad))

    def step(self) -> list[np.ndarray]:
        """The label probabilities of every row."""
        probabilities = [row for group in self.groups for row in self.graph.run(group)["probability"]]
        self.groups = []
        return probabilities

    def leave(self, rows: list[int]) -> None:
        """Rows never outlive their step, so there is nothing to drop."""

    def clear(self) -> None:
        """Forget the groups that joined."""
        self.groups = []

    def advance(self, running: Running, probabilities: np.ndarray) -> Answer | None:
        """Every row finishes in its first step."""
        return Answer(probabilities=probabilities.tolist())
