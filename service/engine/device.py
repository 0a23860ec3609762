"""The device that graphs run on: the CPU, or one GPU with CUDA."""

from dataclasses import dataclass
from typing import Literal

from service.engine.types import EngineFailure


class DeviceError(EngineFailure):
    """The device that the settings name cannot be used; the message names the setting and the remedy."""


@dataclass(frozen=True)
class Device:
    """The CPU, or the GPU of a number.

    On a GPU the arrays of running rows stay in its memory. A CPU that is `resident` takes the same way through the
    code, on which tests can run without a GPU. With `row_buckets` the number of rows of a step is rounded up to a power
    of two, so that few shapes occur.
    """

    kind: Literal["cpu", "cuda"] = "cpu"
    number: int = 0
    resident: bool = False
    row_buckets: bool = False

    def __str__(self) -> str:
        if self.kind == "cuda":
            return f"cuda:{self.number}"
        return "cpu:resident" if self.resident else "cpu"


CPU = Device()


def parse_device(setting: str) -> Device:
    """Return the device that a setting names, where `auto` stands for the first GPU.

    Raises:
        ValueError: it names no device.
    """
    kind, _, number = setting.partition(":")
    if setting in ("cpu", "cpu:resident"):
        return Device(resident=setting == "cpu:resident")
    if kind not in ("cuda", "auto") or (kind == "auto" and number) or (":" in setting and not number.isdecimal()):
        raise ValueError(f"{setting!r} is not a device; use cpu, cuda, cuda:N for the GPU of number N, or auto")
    return Device("cuda", int(number or 0), resident=True, row_buckets=True)
