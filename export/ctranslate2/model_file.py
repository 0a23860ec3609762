"""Read `model.bin` of CTranslate2: named arrays, some of them quantised, and aliases of equal ones.

The layout is that of `ctranslate2.specs.model_spec.ModelSpec` (its `_serialize`), little-endian throughout.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.pretrained.checkpoint import ImportRefused

VERSION = 6  # of the layout, since 2021
DTYPES = ("<f4", "i1", "<i2", "<i4", "<f2", "bfloat16")  # by number
SEQUENCE_TO_SEQUENCE = "TransformerSpec"


@dataclass(frozen=True)
class ModelFile:
    """The variables of a model by name, quantised as they are in the file."""

    path: Path
    spec: str  # the kind of model
    variables: Mapping[str, np.ndarray]

    def has(self, name: str) -> bool:
        """Return whether there is such a variable."""
        return name in self.variables

    def number(self, *names: str, default: float | None = None) -> float:
        """Return a setting: the first of the names that there is.

        Raises:
            ImportRefused: there is none, and no default.
        """
        for name in names:
            if name in self.variables:
                return float(self.variables[name].reshape(-1)[0])
        if default is None:
            raise ImportRefused(f"{self.path}: the variable {names[0]} is missing")
        return default

    def array(self, name: str) -> np.ndarray:
        """Return a variable in fp32: a quantised one is divided by its scales, one for each row or one for all.

        Raises:
            ImportRefused: it is missing.
        """
        if name not in self.variables:
            raise ImportRefused(f"{self.path}: the variable {name} is missing")
        value = self.variables[name].astype(np.float32)
        if (scale := self.variables.get(f"{name}_scale")) is not None:
            rows = scale.astype(np.float32).reshape(-1)
            value = value / (rows[:, None] if len(rows) > 1 else rows)
        return value


def read_model_file(path: Path) -> ModelFile:
    """Read a file; its arrays are views of one buffer.

    Raises:
        ImportRefused: it is damaged, or of another version.
    """
    try:
        return _parse(path, path.read_bytes())
    except (struct.error, UnicodeDecodeError, ValueError, IndexError) as error:
        if isinstance(error, ImportRefused):
            raise
        raise ImportRefused(f"{path}: damaged: {error}") from None


def _parse(path: Path, data: bytes) -> ModelFile:
    place = 0

    def number(form: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from(f"<{form}", data, place)
        place += struct.calcsize(f"<{form}")
        return int(value)

    def text() -> str:
        nonlocal place
        length = number("H")
        value = data[place : place + length - 1].decode("utf-8")
        place += length
        return value

    if (version := number("I")) != VERSION:
        raise ImportRefused(
            f"{path}: version {version} of the format; only {VERSION} can be read: convert the model again with "
            "ctranslate2 2.0 or later"
        )
    spec, _revision = text(), number("I")
    variables: dict[str, np.ndarray] = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        if place + size > len(data):
            raise ValueError(f"{name} has {size:,} bytes, of which {len(data) - place:,} are there")
        variables[name] = _array(DTYPES[kind], data, place, size).reshape(shape)
        place += size
    for _ in range(number("I")):
        alias, name = text(), text()
        variables[alias] = variables[name]
        if f"{name}_scale" in variables:  # it has no alias of its own
            variables[f"{alias}_scale"] = variables[f"{name}_scale"]
    return ModelFile(path, spec, variables)


def _array(dtype: str, data: bytes, start: int, size: int) -> np.ndarray:
    if dtype == "bfloat16":  # the upper half of a float32
        halves = np.frombuffer(data, "<u2", size // 2, start).astype(np.uint32)
        return (halves << 16).view(np.float32)
    kind = np.dtype(dtype)
    return np.frombuffer(data, kind, size // kind.itemsize, start)
