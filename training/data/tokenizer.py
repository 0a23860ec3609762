"""Text to ids and back, through the `tokenizers` library.

`tokenizer.json` holds everything: with a joint vocabulary it has the library's own format, with separate ones it is an
object {"source": ..., "target": ...} of two such files. Special tokens are added here, never by the library: a source
is [prefix] + ids + [eos], where the prefix is the target-language tag, if the model has several directions.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from training.config import TokenizerConfig
from training.data.placeholders import add_placeholders

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIAL_TOKENS = ["<pad>", "<unk>", "<bos>", "<eos>"]
MIN_FILL = 0.9  # of the requested vocabulary; the unigram trainer may return a few pieces less


class TokenizerError(ValueError):
    """A vocabulary that cannot be built or read."""


def tag(language: str) -> str:
    """Return the special token that selects the target language in a model with several directions."""
    return f"<2{language}>"


@dataclass(frozen=True)
class Codec:
    """The tokenizers of both sides; the same object twice if the vocabulary is joint."""

    source: Tokenizer
    target: Tokenizer

    @property
    def joint(self) -> bool:
        return self.source is self.target

    def source_ids(self, texts: list[str], language: str | None) -> list[list[int]]:
        """Return the model's input for each text, with the tag of the target `language` if there is one."""
        prefix = [] if language is None else [self.source.get_vocab()[tag(language)]]
        return [prefix + e.ids + [EOS] for e in self.source.encode_batch(texts, add_special_tokens=False)]

    def target_ids(self, texts: list[str]) -> list[list[int]]:
        """Return the ids of each target text, without special tokens."""
        return [e.ids for e in self.target.encode_batch(texts, add_special_tokens=False)]

    def text(self, ids: list[list[int]]) -> list[str]:
        """Decode target ids, without special tokens."""
        return self.target.decode_batch(ids, skip_special_tokens=True)

    def save(self, path: Path) -> None:
        if self.joint:
            path.write_text(self.source.to_str(pretty=False), "utf-8")
        else:
            sides = {"source": json.loads(self.source.to_str()), "target": json.loads(self.target.to_str())}
            path.write_text(json.dumps(sides, ensure_ascii=False), "utf-8")


def load_codec(path: Path) -> Codec:
    """Read what `Codec.save` wrote.

    Raises:
        TokenizerError: the file is missing or damaged.
    """
    try:
        text = path.read_text("utf-8")
        sides = json.loads(text)
        if "source" in sides:
            return Codec(
                *(_escape_special_tokens(Tokenizer.from_str(json.dumps(sides[side]))) for side in ("source", "target"))
            )
        return _joint(_escape_special_tokens(Tokenizer.from_str(text)))
    except FileNotFoundError:
        raise TokenizerError(f"{path}: no such file") from None
    except Exception as error:  # the library raises nothing narrower
        raise TokenizerError(f"{path}: damaged: {error}") from None


def train_codec(config: TokenizerConfig, sources: list[str], targets: list[str], languages: list[str]) -> Codec:
    """Build the vocabulary from training text; each of `languages` gets a tag.

    Raises:
        TokenizerError: the corpus does not support such a vocabulary.
    """
    if config.kind == "pretrained":
        raise TokenizerError("tokenizer.kind is 'pretrained': start from an encoder, with --initialise-from")
    special_tokens = [*SPECIAL_TOKENS, *map(tag, languages)]
    if config.joint:
        return _joint(_train(config, [*sources, *targets], special_tokens))
    return Codec(_train(config, sources, special_tokens), _train(config, targets, special_tokens))


def supported_codec(config: TokenizerConfig, texts: list[str]) -> tuple[Codec, int]:
    """Return a codec with the largest vocabulary up to `config.vocabulary` that the texts support, and its size.

    Raises:
        TokenizerError: the texts support none.
    """
    tokenizer = _build(config, texts, SPECIAL_TOKENS)
    size = tokenizer.get_vocab_size()
    _check_size(config.model_copy(update={"vocabulary": size}), size, SPECIAL_TOKENS)
    return _joint(_escape_special_tokens(tokenizer)), size


def _joint(tokenizer: Tokenizer) -> Codec:
    return Codec(tokenizer, tokenizer)


def _escape_special_tokens(tokenizer: Tokenizer) -> Tokenizer:
    # A text that contains "<eos>" is five characters, not the special token.
    tokenizer.encode_special_tokens = True
    return tokenizer


def _train(config: TokenizerConfig, texts: Iterable[str], special_tokens: list[str]) -> Tokenizer:
    tokenizer = _build(config, texts, special_tokens)
    _check_size(config, tokenizer.get_vocab_size(), special_tokens)
    if config.placeholders:
        tokenizer = add_placeholders(tokenizer, config.placeholders)
    return _escape_special_tokens(tokenizer)


def _build(config: TokenizerConfig, texts: Iterable[str], special_tokens: list[str]) -> Tokenizer:
    steps: list[normalizers.Normalizer] = [normalizers.NFC()]
    if config.lowercase:
        steps.append(normalizers.Lowercase())
    common: dict[str, Any] = {
        "vocab_size": config.vocabulary, "special_tokens": special_tokens, "show_progress": False,
    }  # fmt: skip
    trainer: trainers.Trainer
    if config.kind == "word":
        tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        trainer = trainers.WordLevelTrainer(min_frequency=config.min_frequency, **common)
    elif config.kind == "character":
        # Spaces before the first and after the last word, so that the bounds of all words look alike.
        steps.append(normalizers.Replace(Regex(r"\s*\z|\A\s*|\s+"), " "))
        tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"(?m:.)"), "isolated")
        trainer = trainers.WordLevelTrainer(min_frequency=config.min_frequency, **common)
    elif config.kind == "bpe":
        # On bytes, no text is out of vocabulary, and decoding restores every space.
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(min_frequency=config.min_frequency, initial_alphabet=alphabet, **common)
    else:
        tokenizer = Tokenizer(models.Unigram())
        # The library's Unigram has the special tokens among its pieces. No piece continues across a "<", so that no
        # text is tokenized into one.
        isolated = pre_tokenizers.Split("<", "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), isolated])
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(unk_token="<unk>", **common)
    tokenizer.normalizer = normalizers.Sequence(steps)
    try:
        tokenizer.train_from_iterator(texts, trainer)
    except Exception as error:  # the library raises nothing narrower
        raise TokenizerError(f"tokenizer.vocabulary is {config.vocabulary}: {error}; raise it") from None
    return tokenizer


def extend_codec(codec: Codec, placeholders: int) -> Codec:
    """Return a codec of byte-level BPE with placeholder tokens behind its other entries."""
    if codec.joint:
        return _joint(_escape_special_tokens(add_placeholders(codec.source, placeholders)))
    source, target = (
        _escape_special_tokens(add_placeholders(side, placeholders)) for side in (codec.source, codec.target)
    )
    return Codec(source, target)


def _check_size(config: TokenizerConfig, size: int, special_tokens: list[str]) -> None:
    least = len(special_tokens) + (256 if config.kind == "bpe" else 1)
    if config.vocabulary < max(size, least):
        raise TokenizerError(
            f"tokenizer.vocabulary is {config.vocabulary}, but special tokens and alphabet take {max(size, least)}; "
            "raise it"
        )
    if size < least:
        raise TokenizerError(f"no word occurs tokenizer.min_frequency {config.min_frequency} times; lower it")
    if size < MIN_FILL * config.vocabulary:
        raise TokenizerError(
            f"tokenizer.vocabulary is {config.vocabulary}, but the corpus supports no more than {size}; lower it"
        )
