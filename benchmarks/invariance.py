"""The invariance rule on a running service: texts one at a time, then many at a time, byte-identical answers.

    python -m benchmarks.invariance FILE.tsv.gz --columns en de --source de --target en [--count 300] [--together 64]
    python -m benchmarks.invariance FILE.tsv.gz --columns label text

Exit status 1 if any answer differs.
"""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from training.corpus import read_corpus


def ask(client: httpx.Client, path: str, body: dict[str, object], text: str) -> str:
    """The answer to one text, without the parts that tell of time."""
    reply = client.post(path, json=body | {"text": text})
    answer = reply.json()
    answer.pop("timings_ms", None)
    answer.pop("request_id", None)
    return json.dumps(answer, ensure_ascii=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--columns", nargs=2, required=True)
    parser.add_argument("--source")
    parser.add_argument("--target")
    parser.add_argument("--model")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--together", type=int, default=64)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    arguments = parser.parse_args()
    classify = "label" in arguments.columns
    column = arguments.columns.index("text" if classify else arguments.source)
    texts = [row[column] for row in read_corpus([arguments.file], arguments.columns, Path())][: arguments.count]
    fields = {"model": arguments.model, "source": arguments.source, "target": arguments.target}
    body: dict[str, object] = {name: value for name, value in fields.items() if value} | (
        {"top_k": 5} if classify else {}
    )
    path = "/v1/classify" if classify else "/v1/translate"
    with httpx.Client(base_url=arguments.url, timeout=120, trust_env=False) as client:
        alone = [ask(client, path, body, text) for text in texts]
        with ThreadPoolExecutor(arguments.together) as pool:
            together = list(pool.map(lambda text: ask(client, path, body, text), texts))
    different = sum(one != other for one, other in zip(alone, together, strict=True))
    sys.stdout.write(f"{len(texts)} texts, one at a time and {arguments.together} at a time: {different} differ\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
