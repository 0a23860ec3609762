"""transformers `generate` and optimum-onnx as systems of the offline benchmark (benchmarks/common/systems.py).

Runs in `.venv-bench`: these packages need older versions of huggingface_hub and tokenizers than this project.
"""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from safetensors.torch import load_file
from transformers import GenerationConfig, M2M100ForConditionalGeneration

from benchmarks.common.systems import BATCH, MODES, beam_size_of, in_batches

POSITIONS = "positions.safetensors"


def load_model(folder: Path) -> Any:
    """Load a folder written by benchmarks/baselines/transformers/convert.py, with its position tables."""
    model = M2M100ForConditionalGeneration.from_pretrained(folder).eval()
    tables = load_file(folder / POSITIONS)
    model.model.encoder.embed_positions.weights = tables["encoder"]
    model.model.decoder.embed_positions.weights = tables["decoder"]
    return model


def load_onnx(folder: Path, threads: int) -> Any:
    """Load the same model exported by optimum-onnx; exported once, into a folder beside it."""
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
    """A model with a `generate` method."""

    def __init__(self, name: str, model: Any, limit: int) -> None:
        self.name, self.model, self.limit = name, model, limit
        self.modes = list(MODES)
        self.settings = [f"{BATCH} examples"]
        self.special_tokens = model.config

    @torch.inference_mode()
    def translate(self, sources: list[list[int]], mode: str, setting: str) -> list[list[int]]:
        answers: list[list[int]] = [[]] * len(sources)
        for batch in in_batches(sources, mode):
            for i, ids in zip(batch, self._generate([sources[i] for i in batch], beam_size_of(mode)), strict=True):
                answers[i] = ids
        return answers

    def _generate(self, sources: list[list[int]], beam: int) -> list[list[int]]:
        longest = max(map(len, sources))
        rows = torch.tensor(
            [ids + [self.special_tokens.pad_token_id] * (longest - len(ids)) for ids in sources]
        )  # (B, S)
        config = GenerationConfig(
            num_beams=beam,
            do_sample=False,
            max_new_tokens=self.limit,
            pad_token_id=self.special_tokens.pad_token_id,
            bos_token_id=self.special_tokens.bos_token_id,
            eos_token_id=self.special_tokens.eos_token_id,
            decoder_start_token_id=self.special_tokens.decoder_start_token_id,
        )
        mask = (rows != self.special_tokens.pad_token_id).long()
        found = self.model.generate(input_ids=rows, attention_mask=mask, generation_config=config)  # (B, T)
        return [self._strip_special_tokens(ids) for ids in found.tolist()]

    def _strip_special_tokens(self, ids: list[int]) -> list[int]:
        """Remove the start token, and everything from the end-of-sequence token on."""
        ids = ids[1:]
        return ids[: ids.index(self.special_tokens.eos_token_id)] if self.special_tokens.eos_token_id in ids else ids


def load(kind: str, folder: str, threads: int, limit: int) -> Generator:
    """Load the system; the arguments are the options on the process's command line."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(threads)
    if kind == "transformers":
        return Generator(f"transformers {version('transformers')}", load_model(Path(folder)), limit)
    return Generator(f"optimum-onnx {version('optimum-onnx')}", load_onnx(Path(folder), threads), limit)
