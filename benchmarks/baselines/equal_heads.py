"""Convert a Transformer with grouped key-value heads to one with equally many, for engines that support no other.

Each key and value head is repeated for the heads that share it: same answers, more computation and larger caches.
"""

import torch
from torch import Tensor

from training.models.transformer import Transformer


def with_equal_heads(model: Transformer) -> Transformer:
    """Return the model itself, or an equal one with as many key-value heads as heads."""
    config = model.config
    if config.kv_heads == config.heads:
        return model
    joint = model.encoder.embedding.token.weight is model.embedding.token.weight
    sizes = model.encoder.embedding.token.num_embeddings, model.embedding.token.num_embeddings
    wide = Transformer(config.model_copy(update={"kv_heads": config.heads}), *sizes, joint)
    given = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in wide.named_parameters():
            parameter.copy_(_repeat_heads(name, given[name], model))
    return wide.train(model.training)


def _repeat_heads(name: str, parameter: Tensor, model: Transformer) -> Tensor:
    """Repeat the key and value rows of a packed projection; return any other parameter unchanged."""
    size = model.config.width // model.config.heads  # d
    if "query_key_value" in name:
        query, shared = torch.split(parameter, [model.config.width, 2 * model.kv_heads * size])
    elif "key_value" in name:
        query, shared = parameter[:0], parameter
    else:
        return parameter
    heads = shared.view(2 * model.kv_heads, size, *parameter.shape[1:])  # all keys, then all values
    return torch.cat([query, heads.repeat_interleave(model.heads // model.kv_heads, dim=0).flatten(0, 1)])
