"""The tables of a recipe: every key with its type, limits, default and meaning. [model] has a file of its own."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Table(BaseModel):
    """A table of a recipe. Unknown keys are errors, and no value is converted to another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def find_problems(self) -> list[str]:
        """Return what is wrong with the values together; the limits of each alone are checked before."""
        return []


class NegativesConfig(Table):
    """[data.negatives]: texts about something else, from which a classifier learns when none of its labels fits."""

    files: list[str] = Field(default_factory=list, description="Corpora to draw from, in any form of `data.train`.")
    columns: list[str] = Field(
        default=["text", "label"], description='The two columns of these files; one is "text", the other is ignored.'
    )
    rows: int = Field(default=0, ge=0, description="Texts to draw; `seed` decides which.")
    ending: str = Field(default="", description='Draw only texts that end with this, for example "?".')
    label: str = Field(default="out_of_scope", description="The label of these texts.")

    def find_problems(self) -> list[str]:
        problems = []
        if bool(self.files) != bool(self.rows):
            problems.append("data.negatives needs both files and rows")
        if len(self.columns) != 2 or self.columns.count("text") != 1:
            problems.append(
                f'data.negatives.columns must name two columns, one of them "text", not {", ".join(self.columns)}'
            )
        return problems


class DataConfig(Table):
    """[data]: the corpus. Paths are relative to the data folder given on the command line."""

    train: list[str] = Field(
        description="Training files: CSV, TSV or JSONL, also gzipped, Parquet, a spreadsheet, two parallel text files "
        '"a.de + a.en", or "hf:name#split" of the Hugging Face hub. "FILE as en, de" names the columns of one file.'
    )
    columns: list[str] = Field(
        description='The columns of the files: the languages of a parallel corpus, or "label" and "text".'
    )
    names: dict[str, str] = Field(
        default_factory=dict,
        description="The columns' names in the files' headers or objects, if they differ: {text = \"query\"}. A number "
        'such as "#2" counts the columns of a file without a header. TSV has no header otherwise.',
    )
    label_separator: str = Field(
        default="",
        description="For texts that can have several labels, each with a probability of its own: what separates the "
        'labels of a row, such as "|"; "list" if the cells are lists (JSON lines, Parquet, the hub). Empty: every text '
        "has one label.",
    )
    valid: list[str] = Field(default_factory=list, description="Validation files; they choose the checkpoint.")
    hold_out: int = Field(
        default=0,
        ge=0,
        description="Without `valid`: validate on up to this many training rows; `seed` decides which. Labels keep "
        "their proportions, and duplicates stay on one side.",
    )
    test: list[str] = Field(default_factory=list, description="Test files; evaluated once, after training.")
    directions: list[str] = Field(
        default_factory=list,
        description='Translation directions, for example ["de-en"]. With several, one model learns them all and each '
        "source begins with a token that names the target language.",
    )
    max_length: int = Field(
        default=128, ge=1, description="Tokens of either side; longer rows are left out of training."
    )
    max_ratio: float = Field(
        default=9.0,
        ge=1,
        description="A pair is left out of training if its longer side has more than this many times the tokens of "
        "the shorter, plus 10.",
    )
    negatives: NegativesConfig = Field(
        default=NegativesConfig(),
        description="Texts of another corpus with a label of their own; classifiers only.",
    )

    def find_problems(self) -> list[str]:
        problems = []
        if not self.train:
            problems.append("data.train names no file")
        if bool(self.valid) == bool(self.hold_out):
            problems.append("give either data.valid files or data.hold_out rows to validate on")
        if len(self.columns) < 2 or len(set(self.columns)) < len(self.columns):
            names = ", ".join(self.columns) or "none"
            problems.append(f"data.columns must name two or more different columns, not {names}")
        if unknown := sorted(set(self.names) - set(self.columns)):
            problems.append(f"data.names has {unknown[0]!r}, which is not in data.columns ({', '.join(self.columns)})")
        if len(set(self.directions)) < len(self.directions):
            problems.append(f"data.directions has duplicates: {', '.join(self.directions)}")
        if self.label_separator and "label" not in self.columns:
            problems.append("data.label_separator is for classifiers, whose data.columns have a label")
        if self.label_separator and self.negatives.rows:
            problems.append(
                "data.negatives has a label of its own, but with data.label_separator a text can have no label at all; "
                "leave data.negatives out, and add such texts with an empty label"
            )
        return problems


class TokenizerConfig(Table):
    """[tokenizer]: how text becomes token ids."""

    kind: Literal["word", "character", "bpe", "unigram", "pretrained"] = Field(
        default="bpe",
        description="`bpe` works on bytes, so no text is out of vocabulary; `character` is for classifiers only; "
        "`pretrained` is the tokenizer of the encoder that the training starts from.",
    )
    vocabulary: int = Field(default=8000, ge=1, description="Entries of the vocabulary, special tokens included.")
    joint: bool = Field(default=True, description="Whether source and target share one vocabulary.")
    lowercase: bool = Field(default=False, description="Whether text is lower-cased before it is tokenized.")
    min_frequency: int = Field(
        default=2,
        ge=0,
        description="Occurrences that a word, character or BPE merge needs to enter the vocabulary.",
    )
    placeholders: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Placeholder tokens to add behind the vocabulary, for texts that a translation keeps unchanged; "
        "`bpe` only. `augment.placeholders` trains them.",
    )


class TrainingConfig(Table):
    """[training]: the optimisation."""

    epochs: int = Field(default=20, ge=1, description="Passes over the training data.")
    updates: int = Field(
        default=0, ge=0, description="End after this many updates, even within an epoch; 0: only `epochs` ends the run."
    )
    batch_tokens: int = Field(
        default=4096, ge=1, description="Tokens of a micro-batch: its rows times its longest side, padding included."
    )
    accumulate: int = Field(default=1, ge=1, description="Micro-batches whose gradients make one update.")
    optimizer: Literal["adamw", "muon"] = Field(
        default="adamw", description="`muon` learns more from each update, and an update takes longer."
    )
    learning_rate: float = Field(default=0.001, gt=0, description="The peak of the schedule.")
    schedule: Literal["cosine", "inverse_sqrt"] = Field(
        default="cosine", description="Decay after the warm-up; `cosine` reaches 0 at the end of the run."
    )
    warmup: int = Field(default=1000, ge=1, description="Updates in which the learning rate rises to its peak.")
    weight_decay: float = Field(default=0.0, ge=0, description="Decoupled weight decay of the optimizer.")
    label_smoothing: float = Field(
        default=0.1, ge=0, lt=1, description="Share of the target probability spread over the whole vocabulary."
    )
    clip_norm: float = Field(default=1.0, gt=0, description="Gradients with a larger norm are scaled down to it.")
    validate_every: int = Field(default=1, ge=1, description="Epochs between two validations.")
    patience: int = Field(
        default=0, ge=0, description="Stop after this many validations without a better result; 0: never stop early."
    )
    keep_last: int = Field(
        default=5, ge=1, description="Checkpoints to keep, one per epoch; their average competes with the best one."
    )


def _share(description: str) -> Any:
    return Field(default=0.0, ge=0, le=1, description=description)


CLASSIFIER_AUGMENTATION = ("word_crop", "add_final_punctuation")
SOURCE_NOISE = ("lowercase", "uppercase", "unpunctuated", "misspelt")  # a source gets at most one of them
TRANSLATOR_AUGMENTATION = ("entity_swap", "sentence_concat", "placeholders", *SOURCE_NOISE)


class AugmentConfig(Table):
    """[augment]: the shares of the training text that are changed, differently in every epoch."""

    word_crop: float = _share("Share of a classifier's texts that are cropped to one or two of their words.")
    add_final_punctuation: float = _share("Share of a classifier's texts that get a final `.`, `?` or `!`.")
    entity_swap: float = _share(
        "Share of a translator's pairs whose names and numbers are replaced, alike on both sides; a pair without any "
        "gets a number."
    )
    sentence_concat: float = _share("Share of a translator's pairs that are joined in groups of two to five.")
    placeholders: float = _share(
        "Share of a translator's pairs in which one to four names, numbers or identifiers that both sides have become "
        "placeholder tokens; a pair without any gets one."
    )
    lowercase: float = _share("Share of a translator's sources that are lower-cased; the target stays.")
    uppercase: float = _share("Share of a translator's sources that are upper-cased; the target stays.")
    unpunctuated: float = _share(
        "Share of a translator's sources that are lower-cased and lose their punctuation; the target stays."
    )
    misspelt: float = _share("Share of a translator's sources that get one typing error; the target stays.")

    def find_problems(self) -> list[str]:
        if (total := sum(getattr(self, key) for key in SOURCE_NOISE)) <= 1:
            return []
        keys = ", ".join(SOURCE_NOISE)
        return [f"augment.{keys} add up to {total:g}, more than 1; a source gets at most one of them; lower them"]
