"""The parity check of fp16, in terms of decoding: nearly all answers are those of fp32, token for token."""

from export.checks.local_engine import DEFAULT_ROWS, run_requests
from export.checks.parity import ParityError
from service.artifact import Artifact
from service.engine.cores import available_cores
from service.engine.models.classify import ClassifyEngine
from service.engine.models.session import Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from service.engine.worker import Engine
from training.decoding.greedy import default_target_length

EQUAL_ANSWERS = 0.995  # the least share
QUALITY_BOUND = 0.1  # how much fp16 may lose on development rows, in BLEU or points of accuracy


def check_answers(fp32: Artifact, fp16: Artifact, sources: list[list[int]]) -> None:
    """Compare the greedy ids, or the labels, of both precisions in the service's own engine.

    Raises:
        ParityError: too many differ.
    """
    pairs = zip(_answers(fp32, sources), _answers(fp16, sources), strict=True)
    different = sum(one != other for one, other in pairs)
    if different > (1 - EQUAL_ANSWERS) * len(sources):
        raise ParityError(
            f"fp16: {different} of {len(sources)} answers differ from those in fp32, allowed are "
            f"{1 - EQUAL_ANSWERS:.1%}: publish fp32"
        )


def _answers(artifact: Artifact, sources: list[list[int]]) -> list[list[int]]:
    """Return the greedy ids of each source, or the label that has the highest probability."""
    limits, cores = artifact.manifest.limits, available_cores()
    if artifact.manifest.task == "classify":
        engine: Engine = ClassifyEngine(artifact, Session(artifact.graph("classify"), cores))
        results = run_requests([engine], [EngineRequest(ids) for ids in sources])
        return [[max(range(len(found.probabilities)), key=found.probabilities.__getitem__)] for found in results]
    engine = TranslateEngine(TranslateGraphs.load(artifact, cores), DEFAULT_ROWS)
    lengths = [default_target_length(len(ids), limits.target_length) for ids in sources]
    requests = [EngineRequest(ids, DecodingOptions(max_length=n)) for ids, n in zip(sources, lengths, strict=True)]
    return [result.ids for result in run_requests([engine], requests)]
