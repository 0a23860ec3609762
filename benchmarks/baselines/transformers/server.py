"""A transformers classifier, in torch or through optimum-onnx, behind FastAPI and a dynamic batcher.

    .venv-bench/bin/python -m benchmarks.baselines.transformers.server MODEL ARTIFACT --port 8001 [--backend optimum]

MODEL is a folder written by benchmarks/baselines/transformers/convert_classifier.py; ARTIFACT has the same weights and
provides tokeniser and labels. Request bodies are those of this service's /v1/classify with one text.

Shapes: B rows, S source length, D model width, L labels.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from pydantic import BaseModel
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.baselines.batcher import Batcher
from benchmarks.baselines.serving import application, batching_options, parser, serve
from benchmarks.baselines.transformers.system import load_model
from service.artifact import read_artifact
from service.text.tokenizer import TextCodec

HEAD = "head.safetensors"
INPUTS = ["input_ids", "attention_mask"]
Compute = Callable[[Tensor, Tensor], np.ndarray]  # ids and mask (B, S) -> probabilities (B, L)


class TextBody(BaseModel):
    """One text."""

    text: str
    top_k: int = 1


class Label(BaseModel):
    label: str
    score: float


class Labels(BaseModel):
    labels: list[Label]


class Reply(BaseModel):
    model: str
    results: list[Labels]
    usage: dict[str, int]
    timings_ms: dict[str, float]


class Classifier(nn.Module):
    """The encoder and its head."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.encoder = load_model(folder).model.encoder
        head = load_file(folder / HEAD)
        self.output = nn.Linear(head["weight"].size(1), head["weight"].size(0))
        self.output.load_state_dict(head)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        encoded = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (B, S, D)
        mask = attention_mask[:, :, None].to(encoded.dtype)
        pooled = (encoded * mask).sum(1) / mask.sum(1)  # (B, D)
        return self.output(pooled).softmax(-1)  # (B, L)


def torch_backend(folder: Path, threads: int) -> Compute:
    """Run the torch module."""
    torch.set_num_threads(threads)
    model = Classifier(folder).eval()

    def compute(ids: Tensor, mask: Tensor) -> np.ndarray:
        with torch.inference_mode():
            return model(ids, mask).numpy()

    return compute


def optimum_backend(folder: Path, threads: int) -> Compute:
    """Run the module as a graph through optimum's ORTModel; exported once, into a folder beside the weights."""
    from optimum.onnxruntime import ORTModelForCustomTasks

    exported = folder / "classify-onnx"
    if not (exported / "config.json").is_file():
        _export(Classifier(folder).eval(), exported)
        (exported / "config.json").write_text((folder / "config.json").read_text("utf-8"), "utf-8")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the event loop needs a core too
    model: Any = ORTModelForCustomTasks.from_pretrained(exported, session_options=options)

    def compute(ids: Tensor, mask: Tensor) -> np.ndarray:
        return model(input_ids=ids.numpy(), attention_mask=mask.numpy())["probability"]

    return compute


def _export(model: Classifier, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ids = torch.tensor([[5, 6, 7], [8, 9, 0]])
    axes = {0: "B", 1: "S"}
    torch.onnx.export(
        model, (ids, (ids > 0).long()), str(folder / "model.onnx"), input_names=INPUTS, output_names=["probability"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "probability": {0: "B"}}, dynamo=False,
    )  # fmt: skip


BACKENDS = {"torch": torch_backend, "optimum": optimum_backend}


class BatchEngine:
    """Classify batches of ids."""

    def __init__(self, compute: Compute, pad: int, sub_batch: int) -> None:
        self.compute, self.pad, self.sub_batch = compute, pad, sub_batch

    def classify(self, batch: list[list[int]]) -> list[np.ndarray]:
        """Classify sorted by length and in parts, so that a long text pads few others."""
        order = sorted(range(len(batch)), key=lambda i: len(batch[i]))
        size = self.sub_batch or len(batch)
        answers: dict[int, np.ndarray] = {}
        for part in (order[start : start + size] for start in range(0, len(order), size)):
            answers.update(zip(part, self._part([batch[i] for i in part]), strict=True))
        return [answers[i] for i in range(len(batch))]

    def _part(self, batch: list[list[int]]) -> np.ndarray:
        longest = max(map(len, batch))
        ids = torch.tensor([one + [self.pad] * (longest - len(one)) for one in batch])  # (B, S)
        return self.compute(ids, (ids != self.pad).long())  # (B, L)


class Handler:
    """The route handler."""

    def __init__(self, artifact: Path, batcher: Batcher[list[int], np.ndarray]) -> None:
        artifact_read = read_artifact(artifact)
        self.manifest, self.batcher = artifact_read.manifest, batcher
        self.codec = TextCodec(artifact_read.tokenizer, artifact_read.manifest)

    async def classify(self, body: TextBody) -> Reply:
        started = time.perf_counter()
        ids = self.codec.encode([body.text], [self.manifest.special_tokens.bos], append_eos=False)[0]
        found = await self.batcher.submit(ids)
        best = np.argsort(-found, kind="stable")[: body.top_k]
        labels = [Label(label=self.manifest.labels[i], score=float(found[i])) for i in best]
        return Reply(
            model=self.manifest.name,
            results=[Labels(labels=labels)],
            usage={"source_tokens": len(ids), "target_tokens": 0},
            timings_ms={"total": round(1000 * (time.perf_counter() - started), 3)},
        )


def main() -> int:
    top = parser(__doc__)
    top.add_argument("model", type=Path)
    top.add_argument("artifact", type=Path)
    top.add_argument("--backend", choices=BACKENDS, default="torch")
    arguments = top.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    compute = BACKENDS[arguments.backend](arguments.model, arguments.threads)
    manifest = read_artifact(arguments.artifact).manifest
    batcher = Batcher(
        BatchEngine(compute, manifest.special_tokens.pad, arguments.sub_batch).classify, batching_options(arguments)
    )
    service = Handler(arguments.artifact, batcher)
    app = application(batcher)
    app.post("/v1/classify")(service.classify)
    serve(app, arguments.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
