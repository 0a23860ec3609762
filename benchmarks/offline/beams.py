"""Compare the engine's beam search with the reference in plain torch, hypothesis by hypothesis, on real sentences.

    python -m benchmarks.offline.beams RUN ARTIFACT FILE.tsv.gz --columns en de --source de --target en [--count 200]
        [--beam 4]

RUN is the training run that the artifact (in fp32) was exported from. All sentences run in one batch. Where the
hypotheses differ, the difference of the two scores at the first difference is printed: a difference in the last bits is
a tie decided by rounding. Exit status 1 if any difference is larger.
"""

import argparse
import sys
from pathlib import Path

import torch

from export.checks.local_engine import run_requests
from service.artifact import read_artifact
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest, EngineResult
from service.models.options import default_target_length
from training.data.corpus import read_corpus
from training.decoding.beam import BeamHypothesis, BeamOptions, beam_search
from training.runs.run import RunFolder
from training.tasks import TranslateTask

TIE = 1e-5  # score per token; fp32 sums in another order differ by a tenth of this


def first_difference(answer: EngineResult, expected: list[BeamHypothesis]) -> float | None:
    """Return the difference of scores where the hypotheses first differ; None if they are equal."""
    for found, reference in zip(answer.hypotheses, expected, strict=True):
        if found.ids != reference.ids or (found.finish_reason == "stop") != reference.finished:
            return abs((found.score or 0.0) - reference.score)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("file")
    parser.add_argument("--columns", nargs=2, required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--beam", type=int, default=4)
    arguments = parser.parse_args()
    task, model = RunFolder(arguments.run).open(torch.device("cpu"))
    assert isinstance(task, TranslateTask), f"{arguments.run} is not a translation run"
    column = arguments.columns.index(arguments.source)
    texts = [row[column] for row in read_corpus([arguments.file], arguments.columns, Path())]
    artifact = read_artifact(arguments.artifact)
    source_limit, limit = artifact.manifest.limits.source_length, artifact.manifest.limits.target_length
    sources = [ids for ids in task.source_ids(texts, arguments.target) if len(ids) <= source_limit][: arguments.count]
    expected = beam_search(model, sources, torch.device("cpu"), BeamOptions(arguments.beam))
    options = [
        DecodingOptions(
            default_target_length(len(ids), limit), beam_size=arguments.beam, n_best=arguments.beam,
            log_probabilities=True,
        )
        for ids in sources
    ]  # fmt: skip
    requests = [EngineRequest(ids, option) for ids, option in zip(sources, options, strict=True)]
    rows = 16 * arguments.beam
    answers = run_requests([TranslateEngine(TranslateGraphs.load(artifact, threads=1), rows)], requests, rows)
    gaps = [gap for pair in zip(answers, expected, strict=True) if (gap := first_difference(*pair)) is not None]
    sys.stdout.write(
        f"{len(sources)} sentences, beam {arguments.beam}, {arguments.beam} hypotheses each: "
        f"{len(sources) - len(gaps)} sentences the same; gaps of score where they first differ: "
        f"{', '.join(f'{gap:.1e}' for gap in gaps) or 'none'}\n"
    )
    return 1 if any(gap > TIE for gap in gaps) else 0


if __name__ == "__main__":
    sys.exit(main())
