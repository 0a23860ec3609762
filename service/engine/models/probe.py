"""Find the device that the settings name, and check that its attention is right.

Attention is one operator with several variants, which CUDA has had for some releases of onnxruntime only; an older one
may ignore an attribute and compute something else. So the variants are computed on a GPU once, before any model is.

Shapes: B rows, S positions, P of a cache, H heads, K key-value heads, d elements of a head.
"""

import logging

import numpy as np

from service.engine.device import CPU, Device, DeviceError, parse_device
from service.engine.models.device_pool import GRAPHS
from service.engine.models.session import Arrays, Session, gpu_fault

log = logging.getLogger(__name__)

ROWS, POSITIONS, CACHED, KV_HEADS, WIDTH = 2, 5, 32, 1, 64  # B, S, P, K, d, with two heads: as in the graph
HEADS = 2
TOLERANCE = 0.01


def find_device(setting: str) -> Device:
    """Return the device for a value of ATTENDANT_DEVICE; `auto` is the first GPU, or the CPU if there is none.

    Raises:
        DeviceError: the GPU that the setting names cannot be used.
    """
    try:
        device = parse_device(setting)
    except ValueError as error:
        raise DeviceError(f"ATTENDANT_DEVICE: {error}") from None
    if device.kind == "cpu" or not (fault := gpu_fault(device) or attention_fault(device)):
        return device
    if setting == "auto":
        log.warning("ATTENDANT_DEVICE is auto and no GPU can be used (%s): all models run on the CPU", fault)
        return CPU
    raise DeviceError(
        f"ATTENDANT_DEVICE is {setting!r}, but this GPU cannot be used ({fault}): install the extra `gpu` and NVIDIA's "
        "driver (docs/deployment.md), name another GPU, or set ATTENDANT_DEVICE to cpu or auto"
    )


def attention_fault(device: Device) -> str:
    """Return which variant of attention a device lacks or computes wrongly; an empty string if none."""
    random = np.random.default_rng(0)

    def values(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float16)

    packed = (HEADS + 2 * KV_HEADS) * WIDTH
    lengths = np.array([POSITIONS, 3], np.int32)  # of sources, and of targets with the new token
    source, query, new = values(ROWS, POSITIONS, packed), values(ROWS, 1, HEADS * WIDTH), values(ROWS, 1, packed)
    key, value = values(ROWS, KV_HEADS, CACHED, WIDTH), values(ROWS, KV_HEADS, CACHED, WIDTH)
    inputs = {"source": source, "query": query, "new": new, "key": key, "value": value, "last": lengths - 1}
    try:
        found = Session(GRAPHS / "attention.onnx", 1, device).run(inputs)
    except Exception as error:  # onnxruntime has one exception class for each kind of failure
        return " ".join(str(error).split())[-300:]
    expected = {name: np.zeros_like(array) for name, array in found.items()}
    for row, length in enumerate(lengths.tolist()):
        queries, keys, others = np.split(source[row], [HEADS * WIDTH, (HEADS + KV_HEADS) * WIDTH], axis=-1)
        for position in range(length):
            expected["encoded"][row, position] = attention(queries[position], keys[:length], others[:length])
        expected["crossed"][row, 0] = attention(query[row, 0], key[row, 0, :length], value[row, 0, :length])
        queries, keys, others = np.split(new[row, 0], [HEADS * WIDTH, (HEADS + KV_HEADS) * WIDTH])
        keys = np.concatenate([key[row, 0, : length - 1], keys[None]])
        others = np.concatenate([value[row, 0, : length - 1], others[None]])
        expected["decoded"][row, 0] = attention(queries, keys, others)
        found["encoded"][row, length:] = 0  # padding
    return differing_variants(found, expected)


def differing_variants(found: Arrays, expected: Arrays) -> str:
    """Return in words which variants of attention differ from what is expected; an empty string if none."""
    variants = {"encoded": "bidirectional", "crossed": "of a query to a cache", "decoded": "causal"}
    wrong = [text for name, text in variants.items() if not np.allclose(found[name], expected[name], atol=TOLERANCE)]
    return f"its onnxruntime computes GroupQueryAttention wrongly: {', '.join(wrong)}" if wrong else ""


def attention(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return the attention (H*d,) of the heads of a query (H*d,) to keys and values (S, d) that they share."""
    scores = query.reshape(HEADS, WIDTH).astype(np.float32) @ key.T.astype(np.float32) / WIDTH**0.5  # (H, S)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    attended: np.ndarray = weights / weights.sum(axis=1, keepdims=True) @ value.astype(np.float32)  # (H, d)
    return attended.ravel()
