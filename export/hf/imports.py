"""What an import needs of each kind of checkpoint: graphs, tokenizer, facts for the manifest, and the parity check."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol

from torch import Tensor, nn

from export.checks.hf_parity import Source, verify_imported_classifier, verify_imported_translator
from export.checks.parity import ParityError
from export.checks.sample_texts import texts_of
from export.graphs import transformer
from export.graphs.spec import GraphSpec
from export.hf.classifier import HfClassifier, build_classifier, check_problem, classifier_graphs, labels_of
from export.hf.encoder_decoder import build_translator
from export.hf.generation import Generation, read_generation
from export.hf.marian import MarianTokenizers
from export.hf.modern_bert import ModernBertClassifier, build_modern_bert, modern_bert_graphs
from export.hf.multilingual import MultilingualTokenizers
from service.artifact import Artifact, Direction, Limits, Parity, SpecialTokens
from service.text.tokenizer import TextCodec
from training.models.classifier import label_probabilities
from training.pretrained.checkpoint import HfCheckpoint, ImportRefused
from training.pretrained.tokenizer import frame, read_tokenizer

TRANSFORMERS = "transformers"


class Import(Protocol):
    """A checkpoint that has been read; `reference` is the system whose answers its artifact must give."""

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
    def source_eos(self) -> bool: ...
    @property
    def reference(self) -> str: ...
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
        """Compare the artifact with the reference's own tokenizer and model.

        Raises:
            ParityError: ids, logits or answers differ.
            ImportRefused: no text is within the model's limit.
        """
        ...


class TranslatorTokenizers(Protocol):
    """The tokenizers of a translator, and what depends on them."""

    directions: list[Direction]
    special_tokens: SpecialTokens
    never: list[int]  # tokens that are not generated

    def save(self, path: Path) -> None:
        """Write the artifact's tokenizer.json."""
        ...

    def reference_ids(self, texts: Sequence[str], direction: Direction) -> list[list[int]]:
        """Return the ids of transformers' own tokenizer."""
        ...


class TranslatorImport:
    """A translator: MarianMT, M2M-100, NLLB or mBART-50.

    Raises:
        ImportRefused: it cannot be imported, or its languages are unknown.
    """

    task: Literal["translate", "classify"] = "translate"
    append_eos = False
    source_eos = True
    reference = TRANSFORMERS
    multi_label = False
    pair_separator: list[int] = []
    labels: list[str] = []

    def __init__(self, checkpoint: HfCheckpoint, languages: list[tuple[str, str]]) -> None:
        self._checkpoint, self.generation = checkpoint, read_generation(checkpoint)
        kind = MarianTokenizers if checkpoint.model_type == "marian" else MultilingualTokenizers
        self._tokenizers: TranslatorTokenizers = kind(checkpoint, languages, self.generation)
        self.directions, self.special_tokens = self._tokenizers.directions, self._tokenizers.special_tokens
        self.model = build_translator(checkpoint, self._tokenizers.never)
        config = self.model.config
        self.limits = Limits(source_length=config.max_source_length, target_length=config.max_target_length)

    def graphs(self) -> dict[str, GraphSpec]:
        return transformer.translator_graphs(self.model)

    def save_tokenizer(self, path: Path) -> None:
        self._tokenizers.save(path)

    def verify(self, artifact: Artifact, texts: tuple[str, ...], tolerance: float) -> Parity:
        from transformers import AutoModelForSeq2SeqLM

        model = AutoModelForSeq2SeqLM.from_pretrained(self._checkpoint.path, use_safetensors=True)
        model.eval()
        codec = TextCodec(artifact.tokenizer, artifact.manifest)
        sources: list[Source] = []
        for i, direction in enumerate(self.directions):
            chosen = texts_of(texts, i, len(self.directions))
            encoded = codec.encode(list(chosen), direction.prefix, append_eos=True)
            _compare_ids(chosen, encoded, self._tokenizers.reference_ids(chosen, direction))
            fitting = [ids for ids in encoded if len(ids) <= self.limits.source_length]
            sources += [Source(ids, tuple(direction.target_prefix)) for ids in fitting]
        _check_some(sources, self.limits)

        def logits(source: Tensor, mask: Tensor, target: Tensor) -> Tensor:
            found: Tensor = model(input_ids=source, attention_mask=mask, decoder_input_ids=target).logits
            return found

        return verify_imported_translator(logits, artifact, sources, self._tokenizers.never, tolerance)


class ClassifierImport:
    """A classifier with an encoder like BERT's, or with ModernBERT's.

    Raises:
        ImportRefused: it cannot be imported.
    """

    task: Literal["translate", "classify"] = "classify"
    append_eos = True
    source_eos = True  # of no meaning
    reference = TRANSFORMERS
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
        self.model: HfClassifier | ModernBertClassifier
        if checkpoint.model_type == "modernbert":
            check_problem(checkpoint)
            self.model = build_modern_bert(checkpoint, len(self.labels))
            length = self.model.max_length
        else:
            self.model = build_classifier(checkpoint, found)
            length = self.model.config.max_source_length
        self.multi_label = self.model.multi_label
        self.limits = Limits(source_length=length, target_length=1)
        self.special_tokens = SpecialTokens(pad=found.pad, unk=found.unk, bos=found.begin, eos=found.end)

    def graphs(self) -> dict[str, GraphSpec]:
        if isinstance(self.model, ModernBertClassifier):
            return modern_bert_graphs(self.model)
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
            return label_probabilities(logits, self.multi_label)

        sources = [encoded[i] for i in fitting]
        _check_some(sources, self.limits)
        return verify_imported_classifier(probabilities, artifact, sources, tolerance)


def _compare_ids(texts: Sequence[str], found: list[list[int]], expected: list[list[int]]) -> None:
    for text, ids, reference in zip(texts, found, expected, strict=False):
        if ids != reference:
            raise ParityError(f"the ids of {text!r} are {ids}, those of transformers {reference}")


def _check_some(sources: Sequence[object], limits: Limits) -> None:
    if not sources:
        raise ImportRefused(f"no text of the parity check is within the model's {limits.source_length} tokens")
