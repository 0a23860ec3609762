"""Images of the attention weights of all layers and heads, for one text that the model reads or translates.

Shapes: B rows (here 1), S source length, T target length, D width, H heads, K key-value heads, d = D/H.
"""

from pathlib import Path
from typing import Any

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

COLOURS = "Blues"
CELL = 1.4  # inches of a map in the overview
LONGEST_TITLE = 80  # characters

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
    """Draw the attention maps of a source (ids with special tokens) into the folder: overview.png, and a file per head.

    A translator's maps are recorded while it translates. Rows of a map are queries (in the decoder: the token that is
    generated), columns are keys; a row sums to 1. Layers and heads are counted from 1.
    """
    ids, target, generated = torch.tensor([source], device=device), None, []
    if isinstance(task, TranslateTask):
        (translation,) = task.translate_ids(model, [source], device)
        target = torch.tensor([[BOS, *translation]], device=device)
        generated = token_names(task.codec.target, [*translation, EOS])
    maps = attention_maps(model, ids, target)
    read = token_names(task.codec.source, source)
    axes = {"encoder": (read, read), "decoder": (generated, ["<bos>", *generated[:-1]]), "cross": (generated, read)}
    if not maps:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "overview.png"]
    grids = {title_of(name): weights.cpu().numpy() for name, weights in maps.items()}
    _draw_overview(files[0], f"{task.recipe.name}: attention of {' '.join(read)}", grids)
    for (title, heads), name in zip(grids.items(), maps, strict=True):
        for head, grid in enumerate(heads, start=1):
            files.append(folder / f"{title.replace(' ', '_')}_head_{head}.png")
            _draw(files[-1], f"{title}, head {head}", grid, *axes[name.partition("_")[0]])
    return files


def title_of(name: str) -> str:
    """Return the readable name of a map: `encoder_0` is "encoder layer 1"."""
    kind, _, number = name.partition("_")
    return f"{kind} layer {int(number) + 1}"


def token_names(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """Return each token as readable text, or as the vocabulary spells it if it is not made of whole characters."""
    names = [tokenizer.decode([i], skip_special_tokens=False) for i in ids]
    spelled = [tokenizer.id_to_token(i) or "" for i in ids]
    return [n if n.strip() and "\ufffd" not in n else s for n, s in zip(names, spelled, strict=True)]


def _draw(file: Path, title: str, grid: np.ndarray, rows: list[str], columns: list[str]) -> None:
    from matplotlib.figure import Figure  # draws with Agg, without a window or display

    canvas = Figure(figsize=(3 + 0.3 * len(columns), 1.5 + 0.3 * len(rows)), layout="constrained")
    axis = canvas.subplots()
    image = axis.imshow(grid, norm=_shades(), cmap=COLOURS, aspect="auto")
    canvas.colorbar(image, label="share of attention")
    axis.set_xticks(range(len(columns)), columns, rotation=90, parse_math=False)
    axis.set_yticks(range(len(rows)), rows, parse_math=False)
    axis.set_title(title, fontsize="medium")
    canvas.savefig(file, dpi=100)


def _draw_overview(file: Path, title: str, grids: dict[str, np.ndarray]) -> None:
    """Draw all maps on one page: a row for each layer, a column for each head, one colour bar."""
    from matplotlib.figure import Figure

    heads = max(map(len, grids.values()))
    canvas = Figure(figsize=(2 + CELL * heads, 1 + CELL * len(grids)), layout="constrained")
    axes = canvas.subplots(len(grids), heads, squeeze=False)
    for row, (name, maps) in zip(axes, grids.items(), strict=True):
        for head, (axis, grid) in enumerate(zip(row, maps, strict=False), start=1):
            image = axis.imshow(grid, norm=_shades(), cmap=COLOURS, aspect="auto")
            axis.set(xticks=[], yticks=[])
            if row is axes[0]:
                axis.set_title(f"head {head}", fontsize="medium")
        for axis in row[len(maps) :]:
            axis.set_axis_off()
        row[0].set_ylabel(name, fontsize="medium")
    canvas.colorbar(image, ax=axes, label="share of attention; rows: queries, columns: keys", aspect=40)
    canvas.suptitle(title if len(title) <= LONGEST_TITLE else f"{title[:LONGEST_TITLE]}…", parse_math=False)
    canvas.savefig(file, dpi=100)


def _shades() -> Any:
    """Return the scale of colours: the root of the weight, so that attention to many tokens is not too faint to see."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=1)
