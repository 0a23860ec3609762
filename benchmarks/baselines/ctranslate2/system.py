"""CTranslate2 as a system of the offline benchmark (benchmarks/common/systems.py)."""

import json
from pathlib import Path

import ctranslate2

from benchmarks.common.systems import BATCH, MODES, beam_size_of

# Batches of 64 sentences, or limited by tokens; translate_batch sorts by length itself.
BATCHES = {
    "64 examples": {"max_batch_size": BATCH, "batch_type": "examples"},
    "1024 tokens": {"max_batch_size": 1024, "batch_type": "tokens"},
    "2048 tokens": {"max_batch_size": 2048, "batch_type": "tokens"},
}


class Translator:
    """A CTranslate2 model with one division of the cores and one compute type."""

    def __init__(self, folder: Path, compute_type: str, workers: int, threads: int, limit: int) -> None:
        self.translator = ctranslate2.Translator(
            str(folder), device="cpu", compute_type=compute_type, inter_threads=workers, intra_threads=threads
        )
        self.source, self.target = vocabularies(folder)
        self.ids = {token: i for i, token in enumerate(self.target)}
        self.limit = limit
        self.name = f"CTranslate2 {ctranslate2.__version__} {compute_type}"
        self.modes = list(MODES)
        self.settings = [f"{batch}, {workers} x {threads} threads" for batch in BATCHES]

    def translate(self, sources: list[list[int]], mode: str, setting: str) -> list[list[int]]:
        tokens = [[self.source[i] for i in ids] for ids in sources]
        if mode == "single":
            return [self._batch([one], mode, setting)[0] for one in tokens]
        return self._batch(tokens, mode, setting)

    def _batch(self, tokens: list[list[str]], mode: str, setting: str) -> list[list[int]]:
        results = self.translator.translate_batch(
            tokens,
            beam_size=beam_size_of(mode),
            min_decoding_length=0,
            max_decoding_length=self.limit,
            **BATCHES[setting.partition(",")[0]],
        )
        return [[self.ids[token] for token in result.hypotheses[0]] for result in results]


def vocabularies(folder: Path) -> tuple[list[str], list[str]]:
    shared = folder / "shared_vocabulary.json"
    files = (
        (shared, shared) if shared.is_file() else (folder / f"{side}_vocabulary.json" for side in ("source", "target"))
    )
    source, target = (json.loads(file.read_text("utf-8")) for file in files)
    return source, target


def load(kind: str, folder: str, compute_type: str, workers: int, threads: int, limit: int) -> Translator:
    """Load the system; the arguments are the options on the process's command line."""
    return Translator(Path(folder), compute_type, workers, threads, limit)
