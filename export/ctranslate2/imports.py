"""Import of a translator of CTranslate2: graphs, tokenizer, facts for the manifest, and the parity check."""

from pathlib import Path
from typing import Literal

import numpy as np

from export.checks.local_engine import DEFAULT_ROWS, run_requests
from export.checks.parity import Differences, ParityError
from export.checks.sample_texts import texts_of
from export.ctranslate2.model_file import read_model_file
from export.ctranslate2.package import MODEL, Package, read_package
from export.ctranslate2.translator import build_translator, translator_config
from export.graphs import transformer
from export.graphs.spec import GraphSpec
from export.hf.generation import Generation
from service.artifact import Artifact, Limits, Parity
from service.engine.cores import available_cores
from service.engine.models.session import Session
from service.engine.models.source import SourceFormat, pad
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.options import DecodingOptions
from service.engine.types import EngineRequest
from service.text.tokenizer import TextCodec
from training.decoding.greedy import default_target_length
from training.pretrained.checkpoint import ImportRefused

EPSILON = 1e-5  # of norms, if config.json does not say
MAX_TOKENS = 64  # generated for each text of the check


class CTranslate2Import:
    """A translator in the format of CTranslate2, for `export.from_hf`.

    Raises:
        ImportRefused: it cannot be imported, or its languages are unknown.
    """

    task: Literal["translate", "classify"] = "translate"
    append_eos = False
    multi_label = False
    pair_separator: list[int] = []
    labels: list[str] = []
    generation = Generation()
    reference = "CTranslate2"

    def __init__(self, path: Path, languages: list[tuple[str, str]]) -> None:
        self.package: Package = read_package(path)
        self.directions = self.package.directions(languages)
        self.special_tokens, self.source_eos = self.package.special_tokens, self.package.source_eos
        self.package.build_tokenizers()  # refused before the weights are read, which takes longer
        model = read_model_file(self.package.folder / MODEL)
        config = translator_config(model, float(self.package.config.get("layer_norm_epsilon") or EPSILON))
        self.model = build_translator(model, config, len(self.package.vocabulary))
        self.limits = Limits(source_length=config.max_source_length, target_length=config.max_target_length)

    def graphs(self) -> dict[str, GraphSpec]:
        return transformer.translator_graphs(self.model)

    def save_tokenizer(self, path: Path) -> None:
        self.package.save_tokenizers(path)

    def verify(self, artifact: Artifact, texts: tuple[str, ...], tolerance: float) -> Parity:
        """Compare ids, greedy answers and their log-probabilities with SentencePiece and CTranslate2 themselves."""
        import ctranslate2

        vocabulary, [direction] = self.package.vocabulary, self.directions
        chosen = texts_of(texts, 0, 1)
        codec = TextCodec(artifact.tokenizer, artifact.manifest)
        encoded = codec.encode(list(chosen), direction.prefix, append_eos=self.source_eos)
        ids = {piece: id for id, piece in enumerate(vocabulary)}
        tail = [self.special_tokens.eos] if self.source_eos else []
        for text, found, pieces in zip(chosen, encoded, self.package.reference_pieces(chosen), strict=True):
            expected = [*direction.prefix, *(ids.get(piece, self.special_tokens.unk) for piece in pieces), *tail]
            if found != expected:
                raise ParityError(f"the ids of {text!r} are {found}, those of SentencePiece {expected}")
        sources = [found for found in encoded if 0 < len(found) <= self.limits.source_length]
        if not sources:
            raise ImportRefused(f"no text of the parity check is within the model's {self.limits.source_length} tokens")
        model = ctranslate2.Translator(str(self.package.folder), device="cpu", compute_type="float32",
                                       intra_threads=available_cores())  # fmt: skip
        # CTranslate2 adds the begin and end tokens by itself.
        own = slice(len(direction.prefix), -1 if self.source_eos else None)
        tokens = [[vocabulary[id] for id in source[own]] for source in sources]
        lengths = [min(MAX_TOKENS, default_target_length(len(one), self.limits.target_length - 1)) for one in sources]
        answers, scores = _answers(artifact, sources, lengths)
        differences = Differences(tolerance)
        for source, length, answer in zip(tokens, lengths, answers, strict=True):
            [expected_answer] = model.translate_batch([source], beam_size=1, max_decoding_length=length)
            if (found_answer := [vocabulary[id] for id in answer]) != expected_answer.hypotheses[0]:
                raise ParityError(
                    f"the greedy answer is {' '.join(found_answer)!r}, that of CTranslate2 "
                    f"{' '.join(expected_answer.hypotheses[0])!r}"
                )
        targets = [[vocabulary[id] for id in answer] for answer in answers]
        scored = model.score_batch(tokens, targets)
        for found_scores, expected_scores in zip(scores, scored, strict=True):
            expected_array = np.array(expected_scores.log_probs, dtype=np.float32)
            differences.compare("score", found_scores[: len(expected_array)], expected_array)
        return Parity(sentences=len(sources), cached=0.0, onnx=differences.largest["score"], tolerance=tolerance)


def _answers(
    artifact: Artifact, sources: list[list[int]], lengths: list[int]
) -> tuple[list[list[int]], list[np.ndarray]]:
    """Return the greedy answers of the service's own engine, and the log-probability of each token and the end."""
    special = artifact.manifest.special_tokens
    engine = TranslateEngine(TranslateGraphs.load(artifact, available_cores()), DEFAULT_ROWS)
    requests = [EngineRequest(ids, DecodingOptions(max_length=n)) for ids, n in zip(sources, lengths, strict=True)]
    answers = [result.ids for result in run_requests([engine], requests)]
    graph, scores = Session(artifact.graph("score"), available_cores()), []
    for source, answer in zip(sources, answers, strict=True):
        inputs = SourceFormat.of(graph, special.pad).arrays([source])
        inputs["target"] = pad([[special.bos, *answer]], special.pad)["source"]
        inputs["label"] = pad([[*answer, special.eos]], special.pad)["source"]
        scores.append(graph.run(inputs)["log_probability"][0])
    return answers, scores
