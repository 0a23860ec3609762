"""Compare ways to align words by cross-attention: do identical words align with each other?

    python -m benchmarks.offline.word_alignment models/translate-en-de-fr-es data/multi30k/test2016.en-de.tsv.gz
        --columns en de [--json FILE]

Counts words that occur exactly once in a sentence and once, spelt the same, in its translation: the reference, and the
artifact's own greedy translation. Names and numbers are words with a digit, or with a capital letter on both sides and
not at the start. Every decoder layer is tried, at the step that writes a token and at the step that reads it. The
service uses the line marked *. Exit status 1 if that line aligns less than 80 % of the words of the artifact's own
translations in any direction.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.figures import write_figures
from export.checks.local_engine import DEFAULT_ROWS, run_requests
from service.artifact import Artifact, Direction, read_artifact
from service.engine.cores import available_cores
from service.engine.models.score import alignment_layer
from service.engine.models.session import Session
from service.engine.models.source import SourceFormat
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from service.models.options import default_target_length
from service.text.alignment import AlignmentLink, links_from_attention
from service.text.tokenizer import TextCodec, TokenizedText
from service.text.words import is_word_character, word_spans
from training.data.corpus import read_corpus

REQUIRED_SHARE = 0.8
Pair = tuple[str, str]
Method = tuple[int, int]  # layer; 0: the step that writes the token, 1: the step that reads it


class Aligner:
    """An artifact's graphs, and alignment links by every layer."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact, self.manifest = artifact, artifact.manifest
        self.codec = TextCodec(artifact.tokenizer, artifact.manifest)
        self.graph = Session(artifact.graph("score"), available_cores())

    def translate(self, texts: list[str], direction: Direction) -> list[str]:
        """Translate greedily with the service's engine."""
        sources = self.codec.encode(texts, direction.prefix, append_eos=True)
        limit = self.manifest.limits.target_length
        requests = [
            EngineRequest(ids, DecodingOptions(max_length=default_target_length(len(ids), limit))) for ids in sources
        ]
        engine = TranslateEngine(TranslateGraphs.load(self.artifact, available_cores()), DEFAULT_ROWS)
        return self.codec.decode([answer.ids for answer in run_requests([engine], requests)])

    def links(self, pairs: list[Pair], direction: Direction) -> Iterator[dict[Method, tuple[AlignmentLink, ...]]]:
        """Yield the links of each pair by each method; none for a pair that is too long for the model."""
        limits, located = self.manifest.limits, self.codec.tokenise_pairs(*map(list, zip(*pairs, strict=True)))
        for pair, (source, target) in zip(pairs, located, strict=True):
            max_tokens = limits.source_length - len(direction.prefix) - 1
            if len(source.ids) > max_tokens or len(target.ids) >= limits.target_length:
                yield {}
                continue
            maps = self._maps(source, target, direction)  # (L, T+1, S)
            yield {
                (layer, step): links_from_attention(maps[layer, step:], pair[0], source.spans, pair[1], target.spans)
                for layer in range(len(maps))
                for step in (0, 1)
            }

    def _maps(self, source: TokenizedText, target: TokenizedText, direction: Direction) -> np.ndarray:
        special_tokens = self.manifest.special_tokens
        ids = [*direction.prefix, *source.ids, special_tokens.eos]
        given = {
            "target": np.array([[special_tokens.bos, *target.ids]]),
            "label": np.array([[*target.ids, special_tokens.eos]]),
        }
        maps = self.graph.run(SourceFormat.of(self.graph, special_tokens.pad).arrays([ids]) | given)["cross_attention"][
            0
        ]
        found: np.ndarray = maps[:, :, len(direction.prefix) : -1]
        return found


def identical_words(pair: Pair) -> Iterator[tuple[tuple[int, int], tuple[int, int], bool]]:
    """Yield the spans of the words that occur once in both sentences, and whether it is a name or a number."""
    sides = [[span for span in word_spans(text) if is_word_character(text[span[0]])] for text in pair]
    spelt = [[text[a:b] for a, b in spans] for text, spans in zip(pair, sides, strict=True)]
    counts = [Counter(one) for one in spelt]
    for k, word in enumerate(spelt[1]):
        if counts[0][word] == counts[1][word] == 1:
            at = spelt[0].index(word)
            special = any(c.isdigit() for c in word) or (word[0].isupper() and k > 0 and at > 0)
            yield sides[0][at], sides[1][k], special


def shares(aligner: Aligner, pairs: list[Pair], direction: Direction) -> dict[Method, np.ndarray]:
    """Count by method: words, words aligned with themselves, names and numbers, those aligned with themselves."""
    found: dict[Method, np.ndarray] = {}
    for pair, by_way in zip(pairs, aligner.links(pairs, direction), strict=True):
        for way, links in by_way.items():
            for source, target, special in identical_words(pair):
                right = AlignmentLink(*source, *target) in links
                found.setdefault(way, np.zeros(4, int))
                found[way] += [1, right, special, right and special]
    return found


def report(title: str, found: dict[Method, np.ndarray]) -> float:
    """Print a table; return the share of words that the service's method aligns correctly."""
    layers = 1 + max((layer for layer, _ in found), default=0)
    own = alignment_layer(layers), 0
    sys.stdout.write(f"{title}\n")
    for (layer, step), (words_, right, special, right_special) in sorted(found.items()):
        sys.stdout.write(
            f"{'*' if (layer, step) == own else ' '} layer {layer + 1} of {layers}, {('written', 'read')[step]:8}"
            f"{right:5} of {words_:5} words {right / max(words_, 1):6.1%}"
            f"{right_special:5} of {special:4} names and numbers {right_special / max(special, 1):6.1%}\n"
        )
    total, right = found[own][:2] if found else (0, 0)
    return float(right / total) if total else 0.0


def figures(tables: Mapping[str, dict[Method, np.ndarray]]) -> list[dict[str, Any]]:
    """Return a row for each layer, at the step that writes a token: of each table the words aligned, and all words."""
    layers = 1 + max(layer for found in tables.values() for layer, _ in found)
    return [
        {"layer": layer + 1, "layers": layers, "served": layer == alignment_layer(layers)}
        | {title: [int(found[layer, 0][1]), int(found[layer, 0][0])] for title, found in tables.items()}
        for layer in range(layers)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifact", type=Path)
    parser.add_argument("file", help="parallel sentences, training/data/corpus.py lists the formats")
    parser.add_argument("--columns", nargs=2, required=True, help="the languages of the file's columns")
    parser.add_argument("--json", type=Path, help="write the words aligned by each layer to this file")
    arguments = parser.parse_args()
    aligner = Aligner(read_artifact(arguments.artifact))
    rows = read_corpus([arguments.file], arguments.columns, Path())
    worst = 1.0
    tables: dict[str, dict[Method, np.ndarray]] = {}
    for direction in aligner.manifest.directions:
        if {direction.source, direction.target} != set(arguments.columns):
            continue
        source, target = (arguments.columns.index(side) for side in (direction.source, direction.target))
        texts = [row[source] for row in rows]
        name = f"{direction.source}-{direction.target}"
        references = [(row[source], row[target]) for row in rows]
        own = list(zip(texts, aligner.translate(texts, direction), strict=True))
        for side, pairs in (("reference", references), ("own translation", own)):
            title = f"{name}, {side}"
            tables[title] = shares(aligner, pairs, direction)
            share = report(title, tables[title])
        worst = min(worst, share)  # of its own translations
    if arguments.json and tables:
        what = (
            "Links of words that occur once in a sentence and once, with the same spelling, in its translation: how "
            f"many link to themselves (found, of), on the {len(rows):,} sentences of {Path(arguments.file).name}"
        )
        write_figures(arguments.json, what, figures(tables))
    return 0 if worst >= REQUIRED_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
