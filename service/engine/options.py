"""The decoding options of one request, and their validation."""

from dataclasses import dataclass
from itertools import chain

from service.artifact import MAX_BEAM as MAX_BEAM  # of a manifest as of a request


@dataclass(frozen=True)
class DecodingOptions:
    """How one segment is decoded: greedy search by default, beam search or sampling.

    Lengths count target tokens. The end token counts in scores, but not in `max_length` and `min_length`.
    """

    max_length: int = 1
    min_length: int = 0
    beam_size: int = 1
    n_best: int = 1
    length_penalty: float = 1.0  # score = sum of log-probabilities / length ** length_penalty
    early_stopping: bool = False  # end a beam search as soon as `beam_size` hypotheses are finished
    temperature: float = 0.0  # above 0: sample
    top_k: int = 0  # 0: all tokens
    top_p: float = 1.0
    seed: int = 0
    prefix: tuple[int, ...] = ()  # target ids that the output starts with; they add 0 to scores
    no_repeat_ngram: int = 0  # n-grams of this size are generated once; 0: no limit
    repetition_penalty: float = 1.0
    suppressed: tuple[int, ...] = ()  # token ids that are not generated, except in `required`
    required: tuple[tuple[int, ...], ...] = ()  # sequences of ids that the output contains exactly once each
    closing: tuple[int, ...] = ()  # ids that end a sentence, such as a full stop: not before `required` is complete
    log_probabilities: bool = False
    end_loops: bool = False  # end an output that only repeats itself; not in a beam search

    @property
    def rows(self) -> int:
        """Rows of the running batch that a request occupies."""
        return self.beam_size

    @property
    def is_sampling(self) -> bool:
        """Whether tokens are drawn at random."""
        return self.temperature > 0

    @property
    def changes_logits(self) -> bool:
        """Whether logits are changed before a token is chosen."""
        return bool(
            self.prefix
            or self.suppressed
            or self.required
            or self.min_length
            or self.no_repeat_ngram
            or self.repetition_penalty != 1.0
        )

    def find_errors(self, vocabulary: int, target_length: int, rows: int) -> list[str]:
        """Return all errors, each with value, limit and remedy; `rows` is the number of rows of one worker."""
        widest = min(MAX_BEAM, rows, vocabulary // 2)
        needed = 2 + (self.max_length if self.no_repeat_ngram else 0)  # so that there is always a token to choose
        checks = [
            (not 1 <= self.max_length <= target_length, f"max_length is {self.max_length}: use 1 to {target_length}"),
            (
                not 0 <= self.min_length <= self.max_length,
                f"min_length is {self.min_length}: use 0 to max_length, which is {self.max_length}",
            ),
            (not 1 <= self.beam_size <= widest, f"beam_size is {self.beam_size}: use 1 to {widest}"),
            (
                not 1 <= self.n_best <= self.beam_size,
                f"n_best is {self.n_best}: use 1 to beam_size, which is {self.beam_size}; ask for a wider beam",
            ),
            (
                self.is_sampling and self.beam_size > 1,
                f"temperature is {self.temperature:g} and beam_size {self.beam_size}: sample, or search with a beam",
            ),
            (
                not self.is_sampling and (self.top_k > 0 or self.top_p < 1),
                "top_k and top_p choose among samples: give a temperature above 0 with them",
            ),
            (
                len(self.prefix) >= self.max_length,
                f"the prefix has {len(self.prefix)} tokens and max_length is {self.max_length}: the prefix must be "
                "shorter",
            ),
            (
                bool(self.required) and sum(map(len, self.required)) + len(self.prefix) >= self.max_length,
                f"max_length is {self.max_length}: what must not change alone takes {sum(map(len, self.required))} "
                "tokens; use a longer one",
            ),
            (
                bool(self.suppressed) and vocabulary - len(set(self.suppressed)) < needed,
                f"{len(set(self.suppressed))} of {vocabulary} tokens are suppressed: leave at least {needed}",
            ),
            (
                not all(0 <= token < vocabulary for token in (*self.prefix, *self.suppressed, *chain(*self.required))),
                f"a token id is outside the vocabulary of {vocabulary}",
            ),
        ]
        return [text for is_wrong, text in checks if is_wrong]
