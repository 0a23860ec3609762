"""Quality of translators on several test sets, through the service's own engine, greedy, without HTTP.

    python -m benchmarks.offline.quality models/translate-en-de-fr-es [ARTIFACT ...] --data data [--rows 500]
        [--set "docs test=docs-split/test"] [--output figures.json]

A set is a name and the beginning of its files: `docs-split/test` stands for `docs-split/test.en-de.tsv.gz` and so on,
in each pair of languages that the artifact translates and the folder has. Without `--set`, all of SETS are measured
whose files exist. Prints BLEU of each direction and set, and their mean. If the artifact declares placeholder tokens,
names, numbers and identifiers of the test pairs are also replaced by them, one to three a sentence, and the share of
the translations that keep each of them once is printed, with the share that has them in the order of the reference.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from export.checks.local_engine import run_requests
from service.artifact import Artifact, ArtifactError, Direction, read_artifact
from service.engine.cores import available_cores
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from service.models.options import default_target_length
from service.text.tokenizer import TextCodec
from training.data.corpus import CorpusError, read_corpus
from training.data.placeholders import common_spans, insert_placeholders
from training.metrics import translation_metrics

SETS = {
    "Tatoeba test": "tatoeba/test",
    "docs test": "docs-split/test",
    "docs, unseen source": "docs-split/unseen",
    "TICO-19 test": "docs/tico19-test",
    "FLORES-200 devtest": "flores200/devtest",
}
ENGINE_ROWS = 64
SURVIVAL_ROWS = 500
MOST_PLACEHOLDERS = 3  # in a sentence
Pairs = list[tuple[str, str]]


class Translator:
    """An artifact, its tokenizer and an engine."""

    def __init__(self, artifact: Artifact) -> None:
        self.manifest = artifact.manifest
        self._codec = TextCodec(artifact.tokenizer, artifact.manifest)
        self._engine = TranslateEngine(TranslateGraphs.load(artifact, available_cores()), ENGINE_ROWS)

    def translate(self, texts: list[str], direction: Direction) -> list[str]:
        """Return the translations; empty for a text above the model's length limit."""
        limits = self.manifest.limits
        sources = self._codec.encode(texts, direction.prefix, append_eos=True)
        fitting = [ids for ids in sources if len(ids) <= limits.source_length]
        requests = [
            EngineRequest(ids, DecodingOptions(max_length=default_target_length(len(ids), limits.target_length)))
            for ids in fitting
        ]
        results = iter(run_requests([self._engine], requests, ENGINE_ROWS)) if requests else iter(())
        return self._codec.decode([next(results).ids if len(ids) <= limits.source_length else [] for ids in sources])


def read_pairs(start: str, direction: Direction, data: Path) -> Pairs | None:
    """Return the pairs of a set in a direction, source first; None if the set has no such file.

    Raises:
        CorpusError: the file cannot be read.
    """
    for first, second in ((direction.source, direction.target), (direction.target, direction.source)):
        name = f"{start}.{first}-{second}.tsv.gz"
        if (data / name).is_file():
            rows = read_corpus([name], [first, second], data)
            return [(row[0], row[1]) if first == direction.source else (row[1], row[0]) for row in rows]
    return None


def measure(translator: Translator, sets: dict[str, str], data: Path, rows: int) -> Iterator[dict[str, Any]]:
    """Yield a record for each direction of each set."""
    for name, start in sets.items():
        for direction in translator.manifest.directions:
            pairs = read_pairs(start, direction, data)
            if pairs is None:
                continue
            pairs = pairs[:rows] if rows else pairs
            hypotheses = translator.translate([source for source, _ in pairs], direction)
            yield {
                "set": name, "direction": f"{direction.source}-{direction.target}", "rows": len(pairs),
                **translation_metrics(hypotheses, [target for _, target in pairs]),
                **survival(translator, pairs, direction),
            }  # fmt: skip


def survival(translator: Translator, pairs: Pairs, direction: Direction) -> dict[str, float]:
    """Return the shares of the translations that keep the placeholders, in per cent; empty without placeholders."""
    symbols = translator.manifest.placeholder_tokens
    chosen = [pair for pair in pairs if common_spans(*pair)][:SURVIVAL_ROWS] if symbols else []
    if not chosen:
        return {}
    sources, references = insert_placeholders(
        [source for source, _ in chosen], [target for _, target in chosen], len(symbols), 1.0,
        np.random.default_rng(1), MOST_PLACEHOLDERS,
    )  # fmt: skip
    hypotheses = translator.translate(sources, direction)
    kept, in_order = 0, 0
    for source, reference, hypothesis in zip(sources, references, hypotheses, strict=True):
        expected, order, found = ([c for c in text if c in symbols] for text in (source, reference, hypothesis))
        kept += sorted(found) == sorted(expected)
        in_order += found == order
    return {
        "placeholder_rows": len(chosen),
        "placeholders_kept": round(100 * kept / len(chosen), 1),
        "placeholders_in_order": round(100 * in_order / len(chosen), 1),
    }


def table(name: str, records: Sequence[dict[str, Any]]) -> str:
    """Return the records as text, a line for each set."""
    lines = [name]
    for title in dict.fromkeys(record["set"] for record in records):
        own = [record for record in records if record["set"] == title]
        mean = float(np.mean([record["bleu"] for record in own]))
        lines.append(f"  {title:22}{mean:6.2f}  " + ", ".join(f"{r['direction']} {r['bleu']:.2f}" for r in own))
        if kept := [record for record in own if "placeholders_kept" in record]:
            shares = [float(np.mean([r[f"placeholders_{key}"] for r in kept])) for key in ("kept", "in_order")]
            lines.append(f"  {'':22}placeholders kept {shares[0]:.1f} %, in order {shares[1]:.1f} %")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the corpora (default: data)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=START", help="see above; may be repeated")
    parser.add_argument("--rows", type=int, default=0, help="only the first rows of each file (default: all)")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    sets = dict(one.partition("=")[::2] for one in arguments.set) or SETS
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        for path in arguments.artifacts:
            translator = Translator(read_artifact(path))
            name = f"{translator.manifest.name} {translator.manifest.version}"
            found[name] = list(measure(translator, sets, arguments.data, arguments.rows))
            sys.stdout.write(table(name, found[name]))
    except (ArtifactError, CorpusError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if arguments.output:
        arguments.output.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
