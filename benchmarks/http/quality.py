"""Translation and classification quality, measured over HTTP on a running service.

    python -m benchmarks.http.quality FILE.tsv.gz --columns en de --source de --target en [--model NAME] [--beam 4]
    python -m benchmarks.http.quality FILE.tsv.gz --columns label text [--model NAME]

A text that the service refuses counts as an empty translation, or as a wrong label, and is reported.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from training.data.corpus import read_corpus
from training.metrics import Metrics, classification_metrics, translation_metrics

CHUNK = 64


def post(client: httpx.Client, path: str, body: dict[str, object], texts: list[str], key: str) -> list[dict[str, Any]]:
    """Return the answers to all texts. A refused list is sent again text by text; a refused text gives {}."""
    answers: list[dict[str, Any]] = []
    for start in range(0, len(texts), CHUNK):
        chunk = texts[start : start + CHUNK]
        reply = client.post(path, json=body | {"text": chunk})
        if reply.status_code == 200:
            answers += reply.json()[key]
            continue
        for text in chunk:
            reply = client.post(path, json=body | {"text": text})
            answers += reply.json()[key] if reply.status_code == 200 else [{}]
    return answers


def translation(client: httpx.Client, rows: Sequence[tuple[str, ...]], arguments: argparse.Namespace) -> Metrics:
    """Return BLEU, lower-cased BLEU and chrF."""
    index = arguments.columns.index(arguments.source)
    body = {"source": arguments.source, "target": arguments.target, "beam_size": arguments.beam}
    body |= model_field(arguments)
    answers = post(client, "/v1/translate", body, [row[index] for row in rows], "translations")
    metrics = translation_metrics([answer.get("text", "") for answer in answers], [row[1 - index] for row in rows])
    return metrics | {
        "refused": sum(not answer for answer in answers),
        "cut at max_length or as loops": sum(answer.get("finish_reason") in ("length", "loop") for answer in answers),
    }


def classification(client: httpx.Client, rows: Sequence[tuple[str, ...]], arguments: argparse.Namespace) -> Metrics:
    """Return accuracy and macro-F1."""
    index = arguments.columns.index("text")
    answers = post(client, "/v1/classify", model_field(arguments), [row[index] for row in rows], "results")
    expected = [row[1 - index] for row in rows]
    labels = sorted({*expected, *(answer["labels"][0]["label"] for answer in answers if answer)})
    expected_ids = np.array([labels.index(label) for label in expected])
    found = (expected_ids + 1) % len(labels)  # a refused text counts as a wrong label
    for i, answer in enumerate(answers):
        if answer:
            found[i] = labels.index(answer["labels"][0]["label"])
    return classification_metrics(found, expected_ids, len(labels)) | {"refused": sum(not answer for answer in answers)}


def model_field(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the field `model`, if a name was given."""
    return {"model": arguments.model} if arguments.model else {}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="corpus; training/data/corpus.py lists the formats")
    parser.add_argument(
        "--columns", nargs=2, required=True, help="the file's columns: two languages, or label and text"
    )
    parser.add_argument("--source")
    parser.add_argument("--target")
    parser.add_argument("--model")
    parser.add_argument("--beam", type=int, default=1, help="beam size (default: 1, greedy)")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    arguments = parser.parse_args()
    rows = read_corpus([arguments.file], arguments.columns, Path())
    measure = classification if "label" in arguments.columns else translation
    with httpx.Client(base_url=arguments.url, timeout=120, trust_env=False) as client:
        metrics = measure(client, rows, arguments)
    sys.stdout.write(json.dumps({"file": arguments.file, "rows": len(rows)} | metrics, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
