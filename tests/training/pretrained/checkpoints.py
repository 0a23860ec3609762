"""Small checkpoints of the BERT family: their sizes, and their tokenizers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from tests.training.pretrained.words import sentences

SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 48,
}  # fmt: skip
ONE_LAYER = SIZES | {"num_hidden_layers": 1}
DISTILBERT_SIZES = {"dim": 32, "n_layers": 1, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 48}
MODERN = {
    "local_attention": 8,
    "pad_token_id": 0,
    "cls_token_id": 2,
    "sep_token_id": 3,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("Bert", SIZES),
    "roberta": ("Roberta", ONE_LAYER | {"pad_token_id": 1, "layer_norm_eps": 1e-5, "type_vocab_size": 1}),
    "electra": ("Electra", ONE_LAYER | {"embedding_size": 16}),
    "distilbert": ("DistilBert", DISTILBERT_SIZES),
    "modernbert": ("ModernBert", SIZES | MODERN),
}


def write_tokenizer(roberta: bool, texts: Sequence[str] = ()) -> transformers.PreTrainedTokenizerFast:
    """Return a trained tokenizer: byte-level BPE like RoBERTa's, or WordPiece like BERT's."""
    special = ["<s>", "<pad>", "</s>", "<unk>"] if roberta else ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    if roberta:
        found = Tokenizer(models.BPE())
        found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer: trainers.Trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        )
        first, last, names = "<s>", "</s>", {"pad_token": "<pad>", "unk_token": "<unk>"}
    else:
        found = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        found.normalizer = normalizers.BertNormalizer()
        found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special)
        first, last, names = "[CLS]", "[SEP]", {"pad_token": "[PAD]", "unk_token": "[UNK]"}
    found.train_from_iterator(texts or sentences(1), trainer)
    found.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} {last} $B {last}" if roberta else f"{first} $A {last} $B:1 {last}:1",
        special_tokens=[(name, found.token_to_id(name)) for name in (first, last)],
    )
    inputs = ["input_ids", "attention_mask"] if roberta else ["input_ids", "token_type_ids", "attention_mask"]
    found.enable_truncation(20)  # which the service does not take over: it refuses what is too long
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=found, cls_token=first, sep_token=last, model_input_names=inputs, **names
    )


def write_encoder(folder: Path, texts: Sequence[str] = (), family: str = "bert", **changes: Any) -> Path:
    """Write the checkpoint of an encoder without a head, with a tokenizer trained on the texts."""
    name, sizes = FAMILIES[family]
    tokenizer = write_tokenizer(family == "roberta", texts)
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(vocab_size=len(tokenizer), **sizes | changes)
    model = getattr(transformers, f"{name}Model")(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
