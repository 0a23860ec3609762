"""Check the invariance rule on a running service: send requests one at a time, then many at a time, and compare bytes.

Every text is translated greedily, with a beam and as a seeded sample; many at a time, these run mixed and shuffled.

    python -m benchmarks.http.invariance FILE.tsv.gz --columns en de --source de --target en [--count 300]
        [--together 64]
    python -m benchmarks.http.invariance FILE.tsv.gz --columns label text

Exit status 1 if any answer differs.
"""

import argparse
import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from training.data.corpus import read_corpus

Body = dict[str, object]
TRANSLATE: list[Body] = [
    {},
    {"beam_size": 4, "n_best": 2, "include": ["score", "tokens"]},
    {"temperature": 0.8, "seed": 7},
]
CLASSIFY: list[Body] = [{"top_k": 5}]


def ask(client: httpx.Client, path: str, body: Body) -> str:
    """Send one request; return its answer without times and request id."""
    reply = client.post(path, json=body)
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
    given = {name: value for name, value in fields.items() if value}
    bodies = [given | {"text": text} | wish for text in texts for wish in (CLASSIFY if classify else TRANSLATE)]
    order = random.Random(1).sample(range(len(bodies)), len(bodies))
    path = "/v1/classify" if classify else "/v1/translate"
    with httpx.Client(base_url=arguments.url, timeout=120, trust_env=False) as client:
        alone = [ask(client, path, body) for body in bodies]
        with ThreadPoolExecutor(arguments.together) as pool:
            together = list(pool.map(lambda i: ask(client, path, bodies[i]), order))
    different = sum(alone[i] != answer for i, answer in zip(order, together, strict=True))
    sys.stdout.write(
        f"{len(texts)} texts, {len(bodies)} requests, one at a time and {arguments.together} at a time: "
        f"{different} differ\n"
    )
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
