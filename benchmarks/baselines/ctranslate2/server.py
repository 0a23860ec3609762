"""CTranslate2 behind FastAPI and a dynamic batcher: what one builds who needs a translation service.

    python -m benchmarks.baselines.ctranslate2.server MODEL ARTIFACT --port 8001

MODEL is a CTranslate2 folder, ARTIFACT the same weights as an artifact, for tokeniser, limits and directions. Bodies
are those of our own /v1/translate with one text.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from benchmarks.baselines.batcher import Batcher
from benchmarks.baselines.ctranslate2.system import Translator
from benchmarks.baselines.serving import application, knobs, parser, serve
from service.artifact import Direction, read_artifact
from service.models.options import default_target_length
from service.text.tokenizer import TextCodec


class Body(BaseModel):
    """One text."""

    text: str
    target: str
    source: str | None = None


class Translation(BaseModel):
    text: str
    source: str
    target: str
    finish_reason: str


class Reply(BaseModel):
    model: str
    translations: list[Translation]
    usage: dict[str, int]
    timings_ms: dict[str, float]


@dataclass(frozen=True)
class Source:
    """Ids with marks, and how many target tokens they may take, by our own rule."""

    ids: list[int]
    limit: int


class Engine:
    """Batches of sources to target ids."""

    def __init__(self, peer: Translator, sub_batch: int) -> None:
        self.peer, self.sub_batch = peer, sub_batch

    def translate(self, batch: list[Source]) -> list[list[int]]:
        """Greedy. The limit is one for a batch, so that it is the longest's; the others are cut to their own."""
        peer = self.peer
        results = peer.translator.translate_batch(
            [[peer.source[i] for i in source.ids] for source in batch],
            beam_size=1,
            min_decoding_length=0,
            max_decoding_length=max(source.limit for source in batch),
            max_batch_size=self.sub_batch,
        )
        return [
            [peer.ids[token] for token in result.hypotheses[0]][: source.limit]
            for source, result in zip(batch, results, strict=True)
        ]


class Service:
    """The route's work."""

    def __init__(self, artifact: Path, batcher: Batcher[Source, list[int]]) -> None:
        opened = read_artifact(artifact)
        self.manifest, self.batcher = opened.manifest, batcher
        self.codec = TextCodec(opened.tokenizer, opened.manifest)

    async def translate(self, body: Body) -> Reply:
        started = time.perf_counter()
        direction = self._direction(body)
        ids = self.codec.encode([body.text], direction.prefix, append_eos=True)[0]
        limit = default_target_length(len(ids), self.manifest.limits.target_length)
        target = await self.batcher.ask(Source(ids, limit))
        reason = "length" if len(target) == limit else "stop"
        text = self.codec.decode([target])[0]
        return Reply(
            model=self.manifest.name,
            translations=[
                Translation(text=text, source=direction.source, target=direction.target, finish_reason=reason)
            ],
            usage={"source_tokens": len(ids), "target_tokens": len(target)},
            timings_ms={"total": round(1000 * (time.perf_counter() - started), 3)},
        )

    def _direction(self, body: Body) -> Direction:
        return next(d for d in self.manifest.directions if d.target == body.target and body.source in (None, d.source))


def main() -> int:
    top = parser(__doc__)
    top.add_argument("model", type=Path)
    top.add_argument("artifact", type=Path)
    top.add_argument("--compute-type", default="int8", choices=["int8", "float32"])
    arguments = top.parse_args()
    peer = Translator(arguments.model, arguments.compute_type, arguments.workers, arguments.threads, limit=0)
    batcher = Batcher(Engine(peer, arguments.sub_batch).translate, knobs(arguments))
    service = Service(arguments.artifact, batcher)
    app = application(batcher)
    app.post("/v1/translate")(service.translate)
    serve(app, arguments.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
