"""The graphs of a translation model."""

from dataclasses import dataclass

from service.artifact import Artifact
from service.engine.device import CPU, Device
from service.engine.models.session import Session


@dataclass(frozen=True)
class TranslateGraphs:
    """The graphs of a translation model, loaded once and shared by the workers of its pool."""

    artifact: Artifact
    device: Device
    encode: Session
    step: Session
    select: Session

    @staticmethod
    def load(artifact: Artifact, threads: int, device: Device = CPU) -> "TranslateGraphs":
        """Load the graphs; on a CPU each run uses `threads` threads, and with one it stays in the calling thread.

        Raises:
            ArtifactError: a graph cannot be loaded.
        """
        encode, step, select = (
            Session(artifact.graph(name), threads, device, record=name == "step")
            for name in ("encode", "step", "select")
        )
        return TranslateGraphs(artifact, device, encode, step, select)
