"""CTranslate2 behind FastAPI and a dynamic batcher: a translation service as one would usually build it.

    python -m benchmarks.baselines.ctranslate2.server MODEL ARTIFACT --port 8001

MODEL is a CTranslate2 folder; ARTIFACT has the same weights and provides tokeniser, limits and directions. Request
bodies
are those of this service's /v1/translate with one text.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from benchmarks.baselines.batcher import Batcher
from benchmarks.baselines.ctranslate2.system import Translator
from benchmarks.baselines.serving import application, batching_options, parser, serve
from service.artifact import Direction, read_artifact
from service.models.options import default_target_length
from service.text.tokenizer import TextCodec


class TextBody(BaseModel):
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
class EncodedSource:
    """Source ids with special tokens, and the maximum target length by this service's rule."""

    ids: list[int]
    limit: int


class BatchEngine:
    """Translate batches of sources to target ids."""

    def __init__(self, system: Translator, sub_batch: int) -> None:
        self.system, self.sub_batch = system, sub_batch

    def translate(self, batch: list[EncodedSource]) -> list[list[int]]:
        """Translate greedily. CTranslate2 has one limit per batch: the longest; shorter limits are applied
        afterwards."""
        system = self.system
        results = system.translator.translate_batch(
            [[system.source[i] for i in source.ids] for source in batch],
            beam_size=1,
            min_decoding_length=0,
            max_decoding_length=max(source.limit for source in batch),
            max_batch_size=self.sub_batch,
        )
        return [
            [system.ids[token] for token in result.hypotheses[0]][: source.limit]
            for source, result in zip(batch, results, strict=True)
        ]


class Handler:
    """The route handler."""

    def __init__(self, artifact: Path, batcher: Batcher[EncodedSource, list[int]]) -> None:
        artifact_read = read_artifact(artifact)
        self.manifest, self.batcher = artifact_read.manifest, batcher
        self.codec = TextCodec(artifact_read.tokenizer, artifact_read.manifest)

    async def translate(self, body: TextBody) -> Reply:
        started = time.perf_counter()
        direction = self._direction(body)
        ids = self.codec.encode([body.text], direction.prefix, append_eos=True)[0]
        limit = default_target_length(len(ids), self.manifest.limits.target_length)
        target = await self.batcher.submit(EncodedSource(ids, limit))
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

    def _direction(self, body: TextBody) -> Direction:
        return next(d for d in self.manifest.directions if d.target == body.target and body.source in (None, d.source))


def main() -> int:
    top = parser(__doc__)
    top.add_argument("model", type=Path)
    top.add_argument("artifact", type=Path)
    top.add_argument("--compute-type", default="int8", choices=["int8", "float32"])
    arguments = top.parse_args()
    system = Translator(arguments.model, arguments.compute_type, arguments.workers, arguments.threads, limit=0)
    batcher = Batcher(BatchEngine(system, arguments.sub_batch).translate, batching_options(arguments))
    service = Handler(arguments.artifact, batcher)
    app = application(batcher)
    app.post("/v1/translate")(service.translate)
    serve(app, arguments.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
