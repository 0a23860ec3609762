"""From artifacts to crews at work: which workers a model takes, and what they compute with."""

from collections.abc import Callable, Sequence

from service.artifact import Artifact, ArtifactError
from service.engine.interfaces import Observer, Posts, scoring
from service.engine.models.classify import ClassifyEngine
from service.engine.models.score import ScoreEngine
from service.engine.models.session import Session
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.queue import Queue
from service.engine.worker import Crew, Engine


def hire(artifacts: Sequence[Artifact], posts: Posts, observer: Callable[[str], Observer]) -> dict[str, Crew]:
    """Crews at work in this process, by name; `observer` gives each the one who is told what it does.

    Raises:
        ArtifactError: with the faults of every graph.
    """
    found: dict[str, list[Engine]] = {}
    faults: list[str] = []
    for artifact in artifacts:
        try:
            found |= engines(artifact, posts)
        except ArtifactError as error:
            faults.append(str(error))
    if faults:
        raise ArtifactError("\n".join(faults))
    crews = {
        name: Crew(name, hired, Queue(posts.bounds, posts.workers), observer(name)) for name, hired in found.items()
    }
    for crew in crews.values():
        crew.start()
    return crews


def engines(artifact: Artifact, posts: Posts) -> dict[str, list[Engine]]:
    """The engines of a model's workers, by the name of their crew; a model's workers share its graphs.

    Raises:
        ArtifactError: a graph is none.
    """
    name, workers = artifact.manifest.name, range(posts.workers)
    if artifact.manifest.task == "classify":
        graph = Session(artifact.graph("classify"), posts.threads)
        return {name: [ClassifyEngine(artifact, graph) for _ in workers]}
    graphs = TranslateGraphs.load(artifact, posts.threads)
    score = Session(artifact.graph("score"), posts.threads)
    return {
        name: [TranslateEngine(graphs, posts.rows) for _ in workers],
        scoring(name): [ScoreEngine(artifact, score) for _ in workers],
    }
