"""The generation defaults of a checkpoint: generation_config.json, or the same keys in an older config.json."""

from dataclasses import dataclass, field
from typing import Any

from service.artifact import MAX_BEAM, GenerationDefaults
from training.pretrained.checkpoint import HfCheckpoint, ImportRefused, read_json

FILE = "generation_config.json"
NEUTRAL: dict[str, tuple[object, ...]] = {  # keys that are not taken over, and values that change nothing
    "do_sample": (False,), "diversity_penalty": (0.0,), "num_beam_groups": (1,), "min_length": (0,),
    "encoder_no_repeat_ngram_size": (0,), "suppress_tokens": ([],), "begin_suppress_tokens": ([],),
    "exponential_decay_length_penalty": (), "sequence_bias": (), "forced_decoder_ids": (), "min_new_tokens": (),
}  # fmt: skip


@dataclass(frozen=True)
class Generation:
    """What a checkpoint says about decoding."""

    defaults: GenerationDefaults = GenerationDefaults()
    never: tuple[int, ...] = ()  # tokens that are never generated ("bad words")
    first: int | None = None  # the token that every translation starts with ("forced_bos_token_id")
    start: int | None = None  # the token that decoding starts from ("decoder_start_token_id")
    left_out: tuple[str, ...] = field(default=())  # options that the service does not have, as "key = value"


def read_generation(checkpoint: HfCheckpoint) -> Generation:
    """Return the generation defaults of a translator.

    Raises:
        ImportRefused: a value is not what its key needs.
    """
    path = checkpoint.path / FILE
    table: dict[str, Any] = read_json(path) if path.is_file() else dict(checkpoint.config)
    vocabulary, left_out = int(checkpoint.get("vocab_size")), []
    try:
        early = table.get("early_stopping") or False
        beam = int(table.get("num_beams") or 1)
        sequences = [list(map(int, words)) for words in table.get("bad_words_ids") or []]
        defaults = GenerationDefaults(
            beam_size=min(beam, MAX_BEAM),
            length_penalty=float(table.get("length_penalty", 1.0)),
            early_stopping=early is True,
            no_repeat_ngram=int(table.get("no_repeat_ngram_size") or 0),
            repetition_penalty=float(table.get("repetition_penalty") or 1.0),
        )
        first = table.get("forced_bos_token_id")
        first = None if first is None else int(first)
        start = table.get("decoder_start_token_id", checkpoint.config.get("decoder_start_token_id"))
        start = None if start is None else int(start)
    except (TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        raise ImportRefused(f"{path}: a generation option has a value that cannot be used: {error}") from None
    if beam > MAX_BEAM:
        left_out.append(f"num_beams = {beam}, of which the service has at most {MAX_BEAM}")
    if early not in (True, False):
        left_out.append(f"early_stopping = {early!r}")
    left_out += [f"bad_words_ids = {words}" for words in sequences if len(words) > 1]
    left_out += [
        f"{key} = {table[key]!r}"
        for key, neutral in NEUTRAL.items()
        if table.get(key) is not None and table[key] not in neutral
    ]
    never = tuple(words[0] for words in sequences if len(words) == 1)
    if wrong := [
        id for id in (*never, *(one for one in (first, start) if one is not None)) if not 0 <= id < vocabulary
    ]:
        raise ImportRefused(f"{path}: the token {wrong[0]} is outside the vocabulary of {vocabulary}")
    return Generation(defaults, never, first, start, tuple(left_out))
