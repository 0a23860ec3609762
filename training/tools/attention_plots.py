"""Pictures of the attention weights of every layer and head, for one text that the model reads or translates.

Shapes: B rows (here 1), S source length, T target length, D width, H heads, K key-value heads, d = D/H.
"""

from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from training.data.tokenizer import BOS, EOS
from training.models.attention import (
    CrossAttend,
    SelfAttend,
    apply_weights,
    attention_weights,
    causal_mask,
    merge_heads,
    padding_mask,
    split_heads,
    unpack,
)
from training.models.classifier import Classifier
from training.models.recurrent import RecurrentTranslator
from training.models.transformer import Encoder, Transformer
from training.tasks import Task, TranslateTask
from training.tools.pictures import colour_bar, heat_map, picture

Maps = dict[str, Tensor]  # name of the layer -> weights (H, queries, keys)


@torch.inference_mode()
def attention_maps(model: nn.Module, source: Tensor, target: Tensor | None) -> Maps:
    """Return the weights of every attention layer for one source (1, S) and, for a translator, one target (1, T).

    The names are encoder_0, decoder_0, cross_0 and so on. A model without attention has no maps.
    """
    lengths = torch.tensor([source.size(1)], device=source.device)
    maps: Maps = {}
    if isinstance(model, Transformer | Classifier):
        _record_encoder(model.encoder, source, lengths, maps)
    if isinstance(model, Transformer) and target is not None:
        _record_decoder(model, source, lengths, target, maps)
    if isinstance(model, RecurrentTranslator) and model.attention and target is not None:
        _record_recurrent_decoder(model, source, lengths, target, maps)
    return maps


def _record_encoder(encoder: Encoder, source: Tensor, lengths: Tensor, maps: Maps) -> None:
    x = encoder.embedding(source)  # (1, S, D)
    mask = padding_mask(lengths, source.size(1))  # (1, 1, 1, S)
    for i, layer in enumerate(encoder.layers):
        x = layer(x, _record_self(encoder, mask, maps, f"encoder_{i}"))


def _record_decoder(model: Transformer, source: Tensor, lengths: Tensor, target: Tensor, maps: Maps) -> None:
    state = model.encode(source, lengths)
    x = model.embedding(target)  # (1, T, D)
    mask = causal_mask(target.size(1), target.device)  # (1, 1, T, T)
    for i, layer in enumerate(model.layers):
        key, value = state[f"cross_key_{i}"], state[f"cross_value_{i}"]  # (1, K, S, d)
        attend_cross = _record_cross(model.heads, key, value, maps, f"cross_{i}")
        x = layer(x, _record_self(model.encoder, mask, maps, f"decoder_{i}"), attend_cross)


def _record_self(encoder: Encoder, mask: Tensor, maps: Maps, name: str) -> SelfAttend:
    def attend_self(packed: Tensor) -> Tensor:
        query, key, value = unpack(packed, encoder.heads, encoder.kv_heads)
        weights = attention_weights(query, key, mask)  # (1, H, T, T)
        maps[name] = weights[0]
        return merge_heads(apply_weights(weights, value))  # (1, T, D)

    return attend_self


def _record_cross(heads: int, key: Tensor, value: Tensor, maps: Maps, name: str) -> CrossAttend:
    def attend_cross(query: Tensor) -> Tensor:
        weights = attention_weights(split_heads(query, heads), key, None)  # (1, H, T, S)
        maps[name] = weights[0]
        return merge_heads(apply_weights(weights, value))  # (1, T, D)

    return attend_cross


def _record_recurrent_decoder(
    model: RecurrentTranslator, source: Tensor, lengths: Tensor, target: Tensor, maps: Maps
) -> None:
    state = model.encode(source, lengths)
    rows: list[Tensor] = []

    def attend(query: Tensor) -> Tensor:
        weights = model.attention_weights(query, state)  # (1, S)
        rows.append(weights)
        return (weights[:, None] @ state["memory_value"])[:, 0]  # (1, D)

    model.decode(target, state, attend)
    maps["cross_0"] = torch.stack(rows, dim=1)  # (1, T, S): one head


def draw_attention(task: Task, model: nn.Module, source: list[int], folder: Path, device: torch.device) -> list[Path]:
    """Draw the attention maps of a source (ids with special tokens) into the folder: a file per head, and all of them
    on one page, attention.svg.

    A translator's maps are recorded while it translates. Rows of a map are queries (in the decoder: the token that is
    generated), columns are keys; a row sums to 1.
    """
    ids, target, generated = torch.tensor([source], device=device), None, []
    if isinstance(task, TranslateTask):
        (translation,) = task.translate_ids(model, [source], device)
        target = torch.tensor([[BOS, *translation]], device=device)
        generated = token_names(task.codec.target, [*translation, EOS])
    maps = attention_maps(model, ids, target)
    read = token_names(task.codec.source, source)
    axes = {"encoder": (read, read), "decoder": (generated, ["<bos>", *generated[:-1]]), "cross": (generated, read)}
    grids = {name: weights.cpu().numpy() for name, weights in maps.items()}
    if not grids:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "attention.svg"]
    _draw_page(files[0], grids, axes)
    for name, heads in grids.items():
        for head, grid in enumerate(heads):
            files.append(folder / f"{name}_head_{head}.svg")
            _draw(files[-1], f"{_title(name)}, head {head}", grid, *axes[name.partition("_")[0]])
    return files


def _title(name: str) -> str:
    return name.replace("_", " layer ")


def token_names(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """Return each token as readable text, or as the vocabulary spells it if it is not made of whole characters."""
    names = [tokenizer.decode([i], skip_special_tokens=False) for i in ids]
    spelled = [tokenizer.id_to_token(i) or "" for i in ids]
    return [n if n.strip() and "\ufffd" not in n else s for n, s in zip(names, spelled, strict=True)]


def _draw(file: Path, title: str, grid: np.ndarray, rows: list[str], columns: list[str]) -> None:
    with picture(file, 2.6 + 0.24 * len(columns), 1.6 + 0.24 * len(rows)) as figure:
        axis = figure.subplots()
        image = heat_map(axis, grid, rows, columns)
        axis.set_title(title)
        colour_bar(figure, image, axis, "weight")


def _draw_page(file: Path, grids: dict[str, np.ndarray], axes: dict[str, tuple[list[str], list[str]]]) -> None:
    """Draw every layer as a row of its heads, with one colour bar; tokens are written at the first head of a layer."""
    most = max(len(heads) for heads in grids.values())
    sizes = [(len(axes[name.partition("_")[0]][0]), len(axes[name.partition("_")[0]][1])) for name in grids]
    tall, wide = max(rows for rows, _ in sizes), max(columns for _, columns in sizes)
    cell = max(0.07, min(0.16, 3.2 / max(tall, wide)))  # inches
    with picture(file, 2.2 + most * (0.3 + cell * wide), 0.6 + len(grids) * (0.9 + cell * tall)) as figure:
        panels = figure.subplots(len(grids), most, squeeze=False)
        for panel in panels.flat:
            panel.set_visible(False)
        for panel_row, (name, heads) in zip(panels, grids.items(), strict=True):
            rows, columns = axes[name.partition("_")[0]]
            for head, grid in enumerate(heads):
                panel = panel_row[head]
                panel.set_visible(True)
                image = heat_map(panel, grid, *((rows, columns) if head == 0 else ([], [])))
                panel.tick_params(labelsize=min(7, 72 * cell * 0.9))
                panel.set_title(f"{_title(name)}, head 0" if head == 0 else f"head {head}", fontsize=9)
        colour_bar(figure, image, panels, "weight")
