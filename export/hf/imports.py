"""What an import needs of each kind of checkpoint: graphs, tokenizer, facts for the manifest, and the parity check."""

import json
import re
import warnings
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from export.checks.hf_parity import verify_imported_classifier, verify_imported_translator
from export.checks.parity import ParityError
from export.graphs import transformer
from export.graphs.spec import GraphSpec
from export.hf.classifier import build_classifier, classifier_graphs, labels_of
from export.hf.encoder_decoder import build_marian
from export.hf.generation import Generation, read_generation
from export.hf.marian import MarianTokenizers, special_tokens
from service.artifact import Artifact, Direction, Limits, Parity, SpecialTokens
from service.text.tokenizer import TextCodec
from training.pretrained.checkpoint import HfCheckpoint, ImportRefused
from training.pretrained.tokenizer import frame, read_tokenizer


class Import(Protocol):
    """A checkpoint that has been read."""

    @property
    def task(self) -> Literal["translate", "classify"]: ...
    @property
    def directions(self) -> list[Direction]: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def multi_label(self) -> bool: ...
    @property
    def append_eos(self) -> bool: ...
    @property
    def pair_separator(self) -> list[int]: ...
    @property
    def generation(self) -> Generation: ...
    @property
    def special_tokens(self) -> SpecialTokens: ...
    @property
    def limits(self) -> Limits: ...

    @property
    def model(self) -> nn.Module:
        """The model of torch whose weights the graphs have."""
        ...

    def graphs(self) -> dict[str, GraphSpec]:
        """Return the graphs to export, `select` excepted."""
        ...

    def save_tokenizer(self, path: Path) -> None:
        """Write the artifact's tokenizer.json."""
        ...

    def verify(self, artifact: Artifact, texts: tuple[str, ...], tolerance: float) -> Parity:
        """Compare the artifact with transformers' own tokenizer and model.

        Raises:
            ParityError: ids, logits or answers differ.
            ImportRefused: no text is within the model's limit.
        """
        ...


class MarianImport:
    """A MarianMT translator.

    Raises:
        ImportRefused: it cannot be imported, or its languages are unknown.
    """

    task: Literal["translate", "classify"] = "translate"
    append_eos = False  # a translator's sources end with eos without it
    multi_label = False
    pair_separator: list[int] = []
    labels: list[str] = []

    def __init__(self, checkpoint: HfCheckpoint, languages: list[tuple[str, str]]) -> None:
        self._checkpoint = checkpoint
        self._tokenizers = MarianTokenizers(checkpoint)
        self.directions = self._tokenizers.directions(languages or guess_languages(checkpoint))
        self.special_tokens = special_tokens(checkpoint, self._tokenizers)
        self.generation = read_generation(checkpoint)
        if self.generation.first is not None:
            raise ImportRefused(
                f"{checkpoint.path}: forced_bos_token_id is {self.generation.first}; MarianMT translators whose first "
                "token is forced cannot be imported"
            )
        # transformers never lets MarianMT generate its padding, with which decoding starts.
        self._never = sorted({self.special_tokens.pad, *self.generation.never})
        self.model = build_marian(checkpoint, self._never)
        config = self.model.config
        self.limits = Limits(source_length=config.max_source_length, target_length=config.max_target_length)

    def graphs(self) -> dict[str, GraphSpec]:
        return transformer.translator_graphs(self.model)

    def save_tokenizer(self, path: Path) -> None:
        self._tokenizers.save(path)

    def verify(self, artifact: Artifact, texts: tuple[str, ...], tolerance: float) -> Parity:
        from transformers import MarianMTModel, MarianTokenizer

        model = MarianMTModel.from_pretrained(self._checkpoint.path, use_safetensors=True)
        model.eval()
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Recommended: pip install sacremoses"
            )  # which the tokenizer does not call
            tokenizer = MarianTokenizer.from_pretrained(self._checkpoint.path)
        codec = TextCodec(artifact.tokenizer, artifact.manifest)
        encoded = codec.encode(list(texts), [], append_eos=True)
        _compare_ids(texts, encoded, [tokenizer(text)["input_ids"] for text in texts])
        sources = [[*direction.prefix, *ids] for direction in self.directions for ids in encoded]

        def logits(source: Tensor, mask: Tensor, target: Tensor) -> Tensor:
            found: Tensor = model(input_ids=source, attention_mask=mask, decoder_input_ids=target).logits
            return found

        sources = _within_limit(sources, self.limits)
        return verify_imported_translator(logits, artifact, sources, self._never, tolerance)


class ClassifierImport:
    """A classifier with an encoder like BERT's.

    Raises:
        ImportRefused: it cannot be imported.
    """

    task: Literal["translate", "classify"] = "classify"
    append_eos = True
    directions: list[Direction] = []
    generation = Generation()

    def __init__(self, checkpoint: HfCheckpoint, languages: list[tuple[str, str]]) -> None:
        from transformers import AutoTokenizer

        if languages:
            raise ImportRefused("--languages is for translators, and this checkpoint is a classifier")
        self._checkpoint, self.labels = checkpoint, labels_of(checkpoint)
        self._tokenizer = read_tokenizer(checkpoint, int(checkpoint.get("vocab_size")))
        self._reference = AutoTokenizer.from_pretrained(checkpoint.path, split_special_tokens=True)
        found = frame(self._tokenizer)
        found = found._replace(typed=found.typed and "token_type_ids" in self._reference.model_input_names)
        self.pair_separator = found.separator
        self.model = build_classifier(checkpoint, found)
        self.multi_label = self.model.multi_label
        self.limits = Limits(source_length=self.model.config.max_source_length, target_length=1)
        self.special_tokens = SpecialTokens(pad=found.pad, unk=found.unk, bos=found.begin, eos=found.end)

    def graphs(self) -> dict[str, GraphSpec]:
        return classifier_graphs(self.model)

    def save_tokenizer(self, path: Path) -> None:
        path.write_text(self._tokenizer.to_str(), "utf-8")

    def verify(self, artifact: Artifact, texts: tuple[str, ...], tolerance: float) -> Parity:
        from transformers import AutoModelForSequenceClassification

        reference = self._reference
        model = AutoModelForSequenceClassification.from_pretrained(self._checkpoint.path, use_safetensors=True)
        model.eval()
        codec, special = TextCodec(artifact.tokenizer, artifact.manifest), self.special_tokens
        encoded = codec.encode(list(texts), [special.bos], append_eos=True)
        inputs = [reference(text, return_tensors="pt") for text in texts]
        if self.pair_separator:
            seconds = [*texts[1:], texts[0]]
            ends = codec.encode(seconds, self.pair_separator, append_eos=True)
            encoded += [[*one[:-1], *other] for one, other in zip(list(encoded), ends, strict=True)]
            inputs += [reference(*pair, return_tensors="pt") for pair in zip(texts, seconds, strict=True)]
        _compare_ids((*texts, *texts), encoded, [one["input_ids"][0].tolist() for one in inputs])
        fitting = [i for i, ids in enumerate(encoded) if len(ids) <= self.limits.source_length]

        def probabilities(i: int) -> Tensor:
            logits: Tensor = model(**inputs[fitting[i]]).logits
            return logits.sigmoid() if self.multi_label else torch.softmax(logits, -1)

        sources = _within_limit(encoded, self.limits)
        return verify_imported_classifier(probabilities, artifact, sources, tolerance)


def _compare_ids(texts: tuple[str, ...], found: list[list[int]], expected: list[list[int]]) -> None:
    for text, ids, reference in zip(texts, found, expected, strict=False):
        if ids != reference:
            raise ParityError(f"the ids of {text!r} are {ids}, those of transformers {reference}")


def _within_limit(sources: list[list[int]], limits: Limits) -> list[list[int]]:
    fitting = [ids for ids in sources if len(ids) <= limits.source_length]
    if not fitting:
        raise ImportRefused(f"no text of the parity check is within the model's {limits.source_length} tokens")
    return fitting


def guess_languages(checkpoint: HfCheckpoint) -> list[tuple[str, str]]:
    """Return the direction that tokenizer_config.json or the checkpoint's name tells.

    Raises:
        ImportRefused: neither tells it.
    """
    file = checkpoint.path / "tokenizer_config.json"
    config = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    if config.get("source_lang") and config.get("target_lang"):
        return [(str(config["source_lang"]), str(config["target_lang"]))]
    if found := re.search(r"(?:^|-)([a-z]{2,3})-([a-z]{2,3})$", checkpoint.path.resolve().name):
        return [(found[1], found[2])]
    raise ImportRefused(f"{checkpoint.path}: its languages are unknown; give them, for example --languages en-de")
