"""An imported MarianMT checkpoint over HTTP beside transformers: ids, logits, greedy and beam-4 answers.

    python -m benchmarks.checkpoints.translators CHECKPOINT ... [--data data] [--sentences 300] [--lines 5000]
        [--tokens 48] [--json FILE]

imports each checkpoint, serves it, and compares: the token ids of mixed lines, the logits on the texts of the import's
own check, and the translations of sentences with those of `generate()`, in greedy search and with a beam of 4. For each
translation that differs it prints how far apart transformers itself finds the two tokens where they part: a tie can be
broken either way by the order of additions. `benchmarks.checkpoints.opus_shape` makes checkpoints.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import MarianMTModel, MarianTokenizer

from benchmarks.checkpoints.common import batches, mixed_lines, posted
from benchmarks.common.figures import busy_note, write_figures
from benchmarks.http.servers import attendant_server
from export.from_hf import ImportOptions, import_checkpoint
from export.hf.marian import guess_languages
from service.artifact import Artifact, read_artifact
from service.text.tokenizer import TextCodec
from training.data.corpus import read_corpus
from training.pretrained.checkpoint import open_checkpoint

SENTENCES, COLUMNS = "tatoeba/test.en-de.tsv.gz", ["en", "de"]
BEAMS = {"greedy": 1, "beam 4": 4}


def equal_ids(artifact: Artifact, tokenizer: Any, lines: Sequence[str]) -> int:
    """Return how many lines get the ids of transformers."""
    codec = TextCodec(artifact.tokenizer, artifact.manifest)
    found = codec.encode(list(lines), [], append_eos=True)
    return sum(ids == tokenizer(line)["input_ids"] for ids, line in zip(found, lines, strict=True))


@torch.inference_mode()
def generated(model: Any, tokenizer: Any, texts: Sequence[str], beam: int, tokens: int) -> list[str]:
    """Return the translations of transformers."""
    found: list[str] = []
    for batch in batches(texts):
        inputs = tokenizer(batch, return_tensors="pt", padding=True)
        ids = model.generate(**inputs, num_beams=beam, max_new_tokens=tokens, forced_eos_token_id=None, do_sample=False)
        found += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return found


@torch.inference_mode()
def gap(model: Any, tokenizer: Any, text: str, one: str, other: str) -> float:
    """Return the difference of the mean log-probabilities that transformers gives two translations."""
    scores = []
    for translation in (one, other):
        inputs = tokenizer(text, text_target=translation, return_tensors="pt")
        scores.append(-float(model(**inputs).loss))
    return abs(scores[0] - scores[1])


def compare(checkpoint: Path, options: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """Import and serve a checkpoint; return a row for each search."""
    started = time.monotonic()
    languages = guess_languages(open_checkpoint(checkpoint))
    manifest = import_checkpoint(checkpoint, folder / "opus", ImportOptions("opus", languages))
    minutes = (time.monotonic() - started) / 60
    model, tokenizer = MarianMTModel.from_pretrained(checkpoint), MarianTokenizer.from_pretrained(checkpoint)
    model.eval()
    lines = mixed_lines(options.data, options.lines)
    same = equal_ids(read_artifact(folder / "opus"), tokenizer, lines)
    texts = [row[0] for row in read_corpus([SENTENCES], COLUMNS, options.data)][: options.sentences]
    rows = []
    with attendant_server([folder / "opus"], ATTENDANT_GUARD="0", ATTENDANT_REQUEST_TIMEOUT_SECONDS="600") as running:
        for name, beam in BEAMS.items():
            body = {"source": languages[0][0], "target": languages[0][1], "beam_size": beam,
                    "max_length": options.tokens}  # fmt: skip
            found = [
                one["text"]
                for batch in batches(texts)
                for one in posted(running.port, "/v1/translate", body | {"text": batch})["translations"]
            ]
            expected = generated(model, tokenizer, texts, beam, options.tokens)
            differing = [i for i in range(len(texts)) if found[i].strip() != expected[i].strip()]
            gaps = [gap(model, tokenizer, texts[i], found[i], expected[i]) for i in differing]
            for i, distance in zip(differing, gaps, strict=True):
                sys.stdout.write(f"{name}: {texts[i]!r}: {found[i]!r}, not {expected[i]!r} ({distance:.1e} apart)\n")
            rows.append({
                "checkpoint": checkpoint.name, "parameters": model.num_parameters(), "vocabulary": manifest.vocabulary,
                "import_minutes": round(minutes, 1), "logits": manifest.parity.onnx, "lines": len(lines),
                "equal_ids": same, "search": name, "sentences": len(texts), "equal": len(texts) - len(differing),
                "different_texts": len(set(expected)), "largest_gap": max(gaps, default=0.0),
            })  # fmt: skip
            sys.stdout.write(f"{rows[-1]}\n")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--sentences", type=int, default=300)
    parser.add_argument("--lines", type=int, default=5000)
    parser.add_argument("--tokens", type=int, default=48, help="of a translation, at most")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    notes, rows = busy_note(), list[dict[str, Any]]()
    for checkpoint in options.checkpoints:
        with tempfile.TemporaryDirectory() as folder:
            rows += compare(checkpoint, options, Path(folder))
    if options.json:
        write_figures(options.json, "imported translators beside transformers", rows, notes=notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
