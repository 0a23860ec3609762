"""transformers `generate` and optimum-onnx behind the surface of benchmarks/common/systems.py.

Runs in `.venv-bench`: these packages need older versions of huggingface_hub and tokenizers than the project does.
"""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from safetensors.torch import load_file
from transformers import GenerationConfig, M2M100ForConditionalGeneration

from benchmarks.common.systems import MODES, TOGETHER, beam_of, in_batches

POSITIONS = "positions.safetensors"


def load_model(folder: Path) -> Any:
    """The transformers model of a folder that benchmarks/baselines/transformers/convert.py wrote, with its position
    tables."""
    model = M2M100ForConditionalGeneration.from_pretrained(folder).eval()
    tables = load_file(folder / POSITIONS)
    model.model.encoder.embed_positions.weights = tables["encoder"]
    model.model.decoder.embed_positions.weights = tables["decoder"]
    return model


def load_onnx(folder: Path, threads: int) -> Any:
    """The same model exported by optimum-onnx, once, into a folder beside it."""
    from optimum.exporters.onnx import onnx_export_from_model
    from optimum.onnxruntime import ORTModelForSeq2SeqLM

    exported = folder / "onnx"
    if not (exported / "done").is_file():
        onnx_export_from_model(load_model(folder), exported, task="text2text-generation-with-past", do_validation=False)
        (exported / "done").touch()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return ORTModelForSeq2SeqLM.from_pretrained(exported, session_options=options, use_cache=True)


class Generator:
    """Any model with `generate`."""

    def __init__(self, name: str, model: Any, limit: int) -> None:
        self.name, self.model, self.limit = name, model, limit
        self.modes = list(MODES)
        self.settings = [f"{TOGETHER} examples"]
        self.marks = model.config

    @torch.inference_mode()
    def translate(self, sources: list[list[int]], mode: str, setting: str) -> list[list[int]]:
        answers: list[list[int]] = [[]] * len(sources)
        for batch in in_batches(sources, mode):
            for i, ids in zip(batch, self._generate([sources[i] for i in batch], beam_of(mode)), strict=True):
                answers[i] = ids
        return answers

    def _generate(self, sources: list[list[int]], beam: int) -> list[list[int]]:
        longest = max(map(len, sources))
        rows = torch.tensor([ids + [self.marks.pad_token_id] * (longest - len(ids)) for ids in sources])  # (B, S)
        config = GenerationConfig(
            num_beams=beam,
            do_sample=False,
            max_new_tokens=self.limit,
            pad_token_id=self.marks.pad_token_id,
            bos_token_id=self.marks.bos_token_id,
            eos_token_id=self.marks.eos_token_id,
            decoder_start_token_id=self.marks.decoder_start_token_id,
        )
        mask = (rows != self.marks.pad_token_id).long()
        found = self.model.generate(input_ids=rows, attention_mask=mask, generation_config=config)  # (B, T)
        return [self._unmarked(ids) for ids in found.tolist()]

    def _unmarked(self, ids: list[int]) -> list[int]:
        """Without the start mark, and up to the end mark."""
        ids = ids[1:]
        return ids[: ids.index(self.marks.eos_token_id)] if self.marks.eos_token_id in ids else ids


def load(kind: str, folder: str, threads: int, limit: int) -> Generator:
    """Options as on the command line of the process."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(threads)
    if kind == "transformers":
        return Generator(f"transformers {version('transformers')}", load_model(Path(folder)), limit)
    return Generator(f"optimum-onnx {version('optimum-onnx')}", load_onnx(Path(folder), threads), limit)
