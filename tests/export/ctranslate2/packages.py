"""Small translators in the format of CTranslate2, laid out as OpenNMT-py and Argos do, with seeded weights."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece
from ctranslate2.specs import transformer_spec

from tests.training.pretrained.words import sentences

WIDTH, INNER, HEADS = 32, 48, 4


def write_sentencepiece(folder: Path) -> list[str]:
    """Write sentencepiece.model and return the vocabulary that OpenNMT-py makes of it."""
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences(1) + ["äxä ä"] * 20), model_prefix=str(folder / "sentencepiece"),
        vocab_size=90, minloglevel=2, character_coverage=1.0, hard_vocab_limit=False,
    )  # fmt: skip
    (folder / "sentencepiece.vocab").unlink()
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.model"))
    pieces = [model.id_to_piece(i) for i in range(3, model.vocab_size())]
    return ["<unk>", "<blank>", "<s>", "</s>", *pieces[:5], *pieces[6:]]  # one piece is unknown to the model


def write_package(
    folder: Path,
    quantization: str | None = None,
    tied: bool = True,
    config: dict[str, Any] | None = None,
    layers: int = 2,
    **shape: Any,
) -> Path:
    """Write an Argos package with this many layers on both sides and return it; `shape` are options of the
    specification, `config` of config.json."""
    (folder / "model").mkdir(parents=True)
    vocabulary, generator = write_sentencepiece(folder), np.random.default_rng(1)
    spec = transformer_spec.TransformerSpec.from_config((layers, layers), HEADS, **shape)

    def array(*size: int) -> np.ndarray:
        return np.asarray(generator.standard_normal(size) * 0.4, dtype=np.float32)

    def fill_linear(linear: Any, outputs: int, inputs: int) -> None:
        linear.weight, linear.bias = array(outputs, inputs), array(outputs)

    def fill_norm(norm: Any) -> None:
        norm.gamma, norm.beta = 1 + array(WIDTH) / 4, array(WIDTH)

    embedding = array(len(vocabulary), WIDTH)
    for side in (spec.encoder, spec.decoder):
        side.position_encodings.encodings = array(80, WIDTH)
        weight = embedding if tied else array(len(vocabulary), WIDTH)
        (side.embeddings[0] if isinstance(side.embeddings, list) else side.embeddings).weight = weight
        if side.pre_norm:
            fill_norm(side.layer_norm)
        for layer in side.layer:
            attentions = [layer.self_attention] + ([layer.attention] if side is spec.decoder else [])
            for attention, outputs in zip(attentions, ((3, 1), (1, 2, 1)), strict=False):
                for linear, factor in zip(attention.linear, outputs, strict=True):
                    fill_linear(linear, factor * WIDTH, WIDTH)
                fill_norm(attention.layer_norm)
            fill_linear(layer.ffn.linear_0, INNER, WIDTH)
            fill_linear(layer.ffn.linear_1, WIDTH, INNER)
            fill_norm(layer.ffn.layer_norm)
    spec.decoder.projection.weight = embedding if tied else array(len(vocabulary), WIDTH)
    spec.decoder.projection.bias = array(len(vocabulary))
    spec.register_source_vocabulary(vocabulary)
    spec.register_target_vocabulary(vocabulary)
    for key, value in (config or {}).items():
        setattr(spec.config, key, value)
    spec.validate()
    spec.optimize(quantization=quantization)
    spec.save(str(folder / "model"))
    (folder / "metadata.json").write_text(json.dumps({"from_code": "en", "to_code": "de"}), "utf-8")
    return folder


def copy_package(package: Path, folder: Path) -> Path:
    return Path(shutil.copytree(package, folder / package.name))
