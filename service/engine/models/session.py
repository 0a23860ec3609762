"""ONNX graphs. The only module of the project that imports onnxruntime."""

import contextlib
import io
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.artifact import ArtifactError
from service.engine.device import CPU, Device, DeviceError, parse_device

# Official builds of onnxruntime report usage to Microsoft unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort  # noqa: E402

log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]

CUDA = "CUDAExecutionProvider"
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


def find_device(setting: str) -> Device:
    """Return the device for a value of ATTENDANT_DEVICE; `auto` is the first GPU, or the CPU if there is none.

    Raises:
        DeviceError: the GPU that the setting names cannot be used.
    """
    try:
        device = parse_device(setting)
    except ValueError as error:
        raise DeviceError(f"ATTENDANT_DEVICE: {error}") from None
    if device.kind == "cpu" or not (fault := _gpu_fault(device)):
        return device
    if setting == "auto":
        log.warning("ATTENDANT_DEVICE is auto and no GPU can be used (%s): all models run on the CPU", fault)
        return CPU
    raise DeviceError(
        f"ATTENDANT_DEVICE is {setting!r}, but this GPU cannot be used ({fault}): install the extra `gpu` and NVIDIA's "
        "driver (docs/deployment.md), name another GPU, or set ATTENDANT_DEVICE to cpu or auto"
    )


def _gpu_fault(device: Device) -> str:
    """Return why a GPU cannot be used; an empty string if it can."""
    if CUDA not in ort.get_available_providers():
        return f"the installed onnxruntime {ort.__version__} has no CUDA"
    messages = io.StringIO()
    with contextlib.redirect_stdout(messages):  # it prints which libraries it does not find
        ort.preload_dlls()
    try:
        ort.OrtValue.ortvalue_from_shape_and_type([1], np.float32, "cuda", device.number)
    except Exception as error:  # onnxruntime has one exception class for each kind of failure
        return " ".join([*str(error).splitlines()[:1], *messages.getvalue().splitlines()[:1]])[-300:]
    return ""


class Session:
    """One ONNX graph, loaded.

    Raises:
        ArtifactError: onnxruntime cannot load the file.
    """

    def __init__(self, path: Path, threads: int, device: Device = CPU) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        # Memory patterns are cached per combination of input shapes, and the shapes of a batch change all the time.
        options.enable_mem_pattern = False
        # Idle threads sleep: models share the cores with each other and with the HTTP thread.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=_providers(device))
        except Exception as error:  # onnxruntime has one exception class for each kind of failure
            raise ArtifactError(f"{path}: onnxruntime cannot load it: {error}") from None
        if device.kind == "cuda" and CUDA not in self._session.get_providers():
            raise ArtifactError(
                f"{path}: onnxruntime {ort.__version__} does not load it on {device}, see its log above"
            )
        self.device = device
        self.inputs = {tensor.name for tensor in self._session.get_inputs()}
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name for inputs by name."""
        return dict(zip(self.outputs, self._session.run(None, inputs), strict=True))

    def run_on_device(self, inputs: Arrays) -> "dict[str, DeviceArray]":
        """Return the outputs by name, in the memory of the session's device."""
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for name in self.outputs:
            binding.bind_output(name, self.device.kind, self.device.number)
        self._session.run_with_iobinding(binding)
        values = zip(self.outputs, binding.get_outputs(), strict=True)
        return {name: DeviceArray.of(value, self.device) for name, value in values}

    def bind(self, inputs: "Bound", outputs: "Bound") -> "BoundSession":
        """Bind contiguous arrays once for many runs, which read and write them without a copy.

        An array that is both an input and an output is updated in place by operators that support it. A GPU reads the
        numpy arrays among the inputs only now.
        """
        return BoundSession(self._session, inputs, outputs)


class DeviceArray:
    """An array in the memory of a device, or a part of one."""

    def __init__(self, value: Any, device: Device, dtype: np.dtype[Any], shape: Sequence[int], address: int) -> None:
        self._value, self.device, self.dtype, self.shape = value, device, dtype, tuple(shape)
        self.address = address

    @staticmethod
    def of(value: Any, device: Device) -> "DeviceArray":
        """Return the array of an OrtValue."""
        dtype = np.dtype(DTYPES[value.data_type()])
        return DeviceArray(value, device, dtype, value.shape(), value.data_ptr())

    @staticmethod
    def from_numpy(array: np.ndarray, device: Device) -> "DeviceArray":
        """Return a copy of an array."""
        return DeviceArray.of(ort.OrtValue.ortvalue_from_numpy(array.copy(), device.kind, device.number), device)

    @staticmethod
    def empty(shape: Sequence[int], dtype: Any, device: Device) -> "DeviceArray":
        """Return an array with any content."""
        value = ort.OrtValue.ortvalue_from_shape_and_type(list(shape), np.dtype(dtype), device.kind, device.number)
        return DeviceArray.of(value, device)

    @property
    def bytes(self) -> int:
        """Size of the array, or of its part."""
        return math.prod(self.shape) * self.dtype.itemsize

    def view(self, shape: Sequence[int], start: int = 0) -> "DeviceArray":
        """Return the elements from number `start` on, in this shape and in the same memory."""
        return DeviceArray(self._value, self.device, self.dtype, shape, self.address + start * self.dtype.itemsize)

    def update(self, array: np.ndarray) -> None:
        """Overwrite the whole array, which must not be a part of one."""
        self._value.update_inplace(array)

    def numpy(self) -> np.ndarray:
        """Return a copy of the whole array, which must not be a part of one."""
        found: np.ndarray = self._value.numpy().copy()
        return found


Bound = Mapping[str, np.ndarray | DeviceArray]


class BoundSession:
    """A session with its input and output arrays bound."""

    def __init__(self, session: ort.InferenceSession, inputs: Bound, outputs: Bound) -> None:
        self._session, self._binding = session, session.io_binding()
        # Bound by address: creating an OrtValue for each array would take longer than a small model's step.
        for bind, arrays in ((self._binding.bind_input, inputs), (self._binding.bind_output, outputs)):
            for name, array in arrays.items():
                if isinstance(array, DeviceArray):
                    kind, number, address = array.device.kind, array.device.number, array.address
                else:
                    kind, number, address = "cpu", 0, array.ctypes.data
                bind(name, kind, number, array.dtype, array.shape, address)
        self._arrays = inputs, outputs  # keeps the memory alive

    def run(self) -> None:
        """Run the graph on the current contents of the arrays."""
        self._session.run_with_iobinding(self._binding)


def _providers(device: Device) -> list[Any]:
    """Return onnxruntime's execution providers for a device, the preferred one first."""
    if device.kind == "cpu":
        return ["CPUExecutionProvider"]
    # The arena grows by what is needed, not by powers of two: several models share the GPU's memory.
    options = {"device_id": str(device.number), "arena_extend_strategy": "kSameAsRequested"}
    return [(CUDA, options), "CPUExecutionProvider"]
