"""Small checkpoints of multilingual translators, with real SentencePiece models and seeded weights."""

import json
from pathlib import Path

import sentencepiece
import torch
import transformers
from transformers import AutoTokenizer, M2M100Tokenizer, MBart50Tokenizer, NllbTokenizer

from tests.training.pretrained.words import sentences

# Of each kind: the model, how SentencePiece splits, and whether weights need other names for what they do.
KINDS = {"m2m_100": ("M2M100", "bpe"), "nllb": ("M2M100", "bpe"), "mbart": ("MBart", "unigram")}

UNUSED = {"m2m_100": 8, "nllb": 2, "mbart": 1}  # tokens that make the embedding larger
CODES = {
    "m2m_100": ("en", "de", "cs"),
    "nllb": ("eng_Latn", "deu_Latn", "fra_Latn"),
    "mbart": ("en_XX", "de_DE", "fr_XX"),
}


def write_checkpoint(folder: Path, kind: str, **changes: object) -> Path:
    """Write a checkpoint of random weights whose answers differ and sometimes end."""
    folder.mkdir(parents=True)
    vocabulary = write_tokenizer(folder, kind)
    architecture = KINDS[kind][0]
    torch.manual_seed(13)
    config = getattr(transformers, f"{architecture}Config")(
        vocab_size=vocabulary, d_model=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, max_position_embeddings=64,
        scale_embedding=True, pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
    )  # fmt: skip
    model = getattr(transformers, f"{architecture}ForConditionalGeneration")(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 12.0 if "shared" in name else 20.0 if parameter.ndim == 2 else 1.0
            parameter.mul_(scale).add_(0.1 * torch.randn_like(parameter) * ("shared" not in name))
        embedding = model.get_input_embeddings().weight
        embedding[2] *= 1.5  # so that answers end
        embedding[vocabulary - UNUSED[kind] :] = 0  # so that they are not chosen
    model.generation_config.update(num_beams=2, early_stopping=True, max_length=64)
    model.save_pretrained(folder)
    if changes:
        table = json.loads((folder / "config.json").read_text("utf-8")) | changes
        (folder / "config.json").write_text(json.dumps(table), "utf-8")
    return folder


def write_tokenizer(folder: Path, kind: str) -> int:
    """Write a tokenizer's files; return how many tokens it has."""
    texts = sentences(1) + ["äxä ö", "éxé ñ"] * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(folder / "spm"), vocab_size=90, model_type=KINDS[kind][1],
        minloglevel=2, character_coverage=1.0, hard_vocab_limit=False,
    )  # fmt: skip
    (folder / "spm.vocab").unlink()
    (folder / "spm.model").rename(folder / "sentencepiece.bpe.model")
    if kind == "m2m_100":
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sentencepiece.bpe.model"))
        pieces = ["<s>", "<pad>", "</s>", "<unk>", *(model.id_to_piece(i) for i in range(3, model.vocab_size()))]
        ids = {piece: id for id, piece in enumerate(pieces[:-5])}  # some pieces are not in the vocabulary
        (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), "utf-8")
        tokenizer = M2M100Tokenizer(
            str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"), language_codes="wmt21"
        )
        tokenizer.save_pretrained(folder)
        return len(ids) + 8 + UNUSED[kind]  # 8 languages
    cls = NllbTokenizer if kind == "nllb" else MBart50Tokenizer
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": cls.__name__}), "utf-8")
    (folder / "config.json").write_text(json.dumps({"model_type": "mbart" if kind == "mbart" else "m2m_100"}), "utf-8")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if kind == "nllb":
        tokenizer.add_special_tokens({"extra_special_tokens": list(CODES["nllb"])})
    tokenizer.save_pretrained(folder)
    return len(tokenizer) + UNUSED[kind]
