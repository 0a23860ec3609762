"""Check with the shipped language detector that the columns of a parallel corpus are what they are named after.

The only module of this package that reads an artifact: the detector runs as it does in the service.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from service.artifact import read_artifact
from service.engine.models.session import Session
from training.data.files import CorpusError
from training.data.language_names import CODES, language_name

DETECTOR = Path(__file__).parents[2] / "models" / "langid"
SAMPLE = 100  # texts of a column
LEAST_CHARACTERS = 15  # of a text that is looked at: shorter ones say little
LEAST_TEXTS = 10
SURE = 0.6  # share of the texts


@dataclass(frozen=True)
class Found:
    """The most frequent language of a column, and in how many of its texts it was detected."""

    language: str
    texts: int
    of: int

    def __str__(self) -> str:
        return f"{language_name(self.language)} ({self.texts} of {self.of} texts)"


def detect(texts: Sequence[str], folder: Path = DETECTOR) -> list[str]:
    """Return the most probable language of each text."""
    artifact = read_artifact(folder)
    manifest = artifact.manifest
    tokenizer = Tokenizer.from_file(str(artifact.tokenizer))
    session = Session(artifact.graph("classify"), threads=1)
    found = []
    for encoding in tokenizer.encode_batch([text[:400] for text in texts], add_special_tokens=False):
        ids = [manifest.special_tokens.bos, *encoding.ids][: manifest.limits.source_length]
        inputs: dict[str, np.ndarray] = {
            "source": np.array([ids], np.int64),
            "source_length": np.array([len(ids)], np.int32),
        }
        found.append(manifest.labels[int(session.run(inputs)["probability"][0].argmax())])
    return found


def check_languages(where: str, texts: Mapping[str, Sequence[str]], folder: Path = DETECTOR) -> list[str]:
    """Return a line for each column whose texts are in another language than its name says.

    `texts` has the texts of each column by its language; columns that are no known language are ignored. Nothing is
    returned if the detector is missing or there are too few texts.

    Raises:
        CorpusError: two columns are swapped.
    """
    if not (folder / "manifest.json").is_file():
        return []
    found: dict[str, Found] = {}
    for language, column in texts.items():
        sample = [text for text in column if len(text) >= LEAST_CHARACTERS][:SAMPLE]
        if language in CODES and len(sample) >= LEAST_TEXTS:
            [(best, count)] = Counter(detect(sample, folder)).most_common(1)
            found[language] = Found(best, count, len(sample))
    wrong = {
        language: one for language, one in found.items() if one.language != language and one.texts >= SURE * one.of
    }
    for language, one in wrong.items():
        other = wrong.get(one.language)
        if other is not None and other.language == language:
            raise CorpusError(
                f"{where}: the columns {language} and {one.language} are swapped: {language} is {one}, {one.language} "
                f"is {other}; swap their names"
            )
    return [f"{where}: the column {language} seems to be {one}" for language, one in wrong.items()]
