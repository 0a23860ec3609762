"""Load artifacts and start their workers."""

from collections.abc import Mapping
from dataclasses import dataclass

from service.artifact import Artifact, ArtifactError, read_artifact
from service.engine.cores import available_cores
from service.engine.interfaces import Hire, Posts, Staff, scoring
from service.engine.queue import Bounds
from service.metrics import Metrics
from service.models.registry import Registry
from service.models.scorer import Scorer
from service.models.served_model import ServedModel
from service.settings import Settings
from service.text.tokenizer import TextCodec


def load_models(settings: Settings, metrics: Metrics, hire: Hire) -> Registry:
    """Load every artifact in the models folder; `hire` puts crews to work on them, here or in another process.

    Raises:
        ArtifactError: with the faults of every artifact, so that one start shows all of them.
    """
    folders = sorted(p for p in settings.models.glob("*") if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise ArtifactError(
            f"{settings.models}: no artifact folder in it; set ATTENDANT_MODELS to a folder of artifacts"
        )
    loaded: list[Loaded] = []
    faults: list[str] = []
    for folder in folders:
        try:
            artifact = read_artifact(folder)
            loaded.append(Loaded(artifact, TextCodec(artifact.tokenizer, artifact.manifest)))
        except ArtifactError as error:
            faults.append(str(error))
    names = [one.artifact.manifest.name for one in loaded]
    faults += [f"{settings.models}: two artifacts are named {n!r}" for n in sorted(set(names)) if names.count(n) > 1]
    if settings.classifier and settings.classifier not in names:
        there = ", ".join(sorted(names))
        faults.append(f"ATTENDANT_CLASSIFIER is {settings.classifier!r}, which is not served; there is {there}")
    try:
        crews = hire([one.artifact for one in loaded], posts(settings), metrics.of_model)
    except ArtifactError as error:
        raise ArtifactError("\n".join([*faults, str(error)])) from None
    if faults:
        for crew in crews.values():
            crew.queue.close()
        raise ArtifactError("\n".join(faults))
    for name, crew in crews.items():
        metrics.watch(name, crew)
    return Registry([_serve(one, crews, metrics) for one in loaded], settings.classifier)


@dataclass(frozen=True)
class Loaded:
    """An artifact that can be served."""

    artifact: Artifact
    codec: TextCodec


def posts(settings: Settings) -> Posts:
    """What the settings grant every crew, on the cores that there are."""
    workers, threads = settings.crew(available_cores())
    bounds = Bounds(
        rows=settings.rows,
        encode_tokens=settings.encode_tokens,
        queue_segments=settings.queue_segments,
        queue_tokens=settings.queue_tokens,
    )
    return Posts(workers, threads, bounds)


def _serve(loaded: Loaded, crews: Mapping[str, Staff], metrics: Metrics) -> ServedModel:
    manifest, codec = loaded.artifact.manifest, loaded.codec
    scores = scoring(manifest.name)
    scorer = None
    if scores in crews:
        scorer = Scorer(manifest, codec, crews[scores], metrics.of_model(scores))
    return ServedModel(loaded.artifact, codec, crews[manifest.name], metrics.of_model(manifest.name), scorer)
