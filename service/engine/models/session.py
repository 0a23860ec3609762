"""ONNX graphs. The only module of the project that imports onnxruntime."""

import contextlib
import io
import itertools
import logging
import math
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from service.artifact import ArtifactError
from service.engine.device import CPU, Device

# Official builds of onnxruntime report usage to Microsoft unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort  # noqa: E402

log = logging.getLogger(__name__)

Arrays = dict[str, np.ndarray]

CUDA = "CUDAExecutionProvider"
# Operators that do the work. If one is missing on a GPU, every step would move its tensors to the CPU and back.
COMPUTE = {"GroupQueryAttention", "Gemm", "MatMul", "LayerNormalization", "Softmax", "GRU", "LSTM", "TopK", "ScatterND"}
DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


def gpu_fault(device: Device) -> str:
    """Return why a GPU cannot be used; an empty string if it can."""
    if CUDA not in ort.get_available_providers():
        return f"the installed onnxruntime {ort.__version__} has no CUDA"
    messages = io.StringIO()
    with contextlib.redirect_stdout(messages):  # it prints which libraries it does not find
        ort.preload_dlls()
    try:
        ort.OrtValue.ortvalue_from_shape_and_type([1], np.float32, "cuda", device.number)
    except Exception as error:  # onnxruntime has one exception class for each kind of failure
        lines = [*messages.getvalue().splitlines(), *str(error).splitlines()]
        return next((line.strip() for line in lines if line.strip()), type(error).__name__)[-200:]
    return ""


class Session:
    """One ONNX graph, loaded.

    On a GPU the runs of a graph can be recorded: a run on the same arrays is then one call of the driver instead of one
    for each operator (CUDA graphs).

    Raises:
        ArtifactError: onnxruntime cannot load the file.
    """

    def __init__(self, path: Path, threads: int, device: Device = CPU, *, record: bool = False) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        # Memory patterns are cached per combination of input shapes, and the shapes of a batch change all the time.
        options.enable_mem_pattern = False
        # Idle threads sleep: models share the cores with each other and with the HTTP thread.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # A CPU records nothing, but takes the same way through the code.
        self._recorder = Recorder() if record and device.row_buckets else None
        try:
            if device.kind == "cuda":
                self._session = self._on_gpu(path, options, device)
            else:
                self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except ArtifactError:
            raise
        except Exception as error:  # onnxruntime has one exception class for each kind of failure
            raise ArtifactError(f"{path}: onnxruntime cannot load it: {error}") from None
        self.device = device
        self.inputs = {tensor.name for tensor in self._session.get_inputs()}
        self.outputs = [output.name for output in self._session.get_outputs()]

    def _on_gpu(self, path: Path, options: ort.SessionOptions, device: Device) -> ort.InferenceSession:
        """Load the graph on a GPU, recorded if that is possible.

        Raises:
            ArtifactError: the installed onnxruntime cannot run it there.
        """
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        # The arena grows by what is needed, not by powers of two: several models share the GPU's memory.
        provider = {"device_id": str(device.number), "arena_extend_strategy": "kSameAsRequested"}
        session = None
        if self._recorder is not None:
            try:
                recording = {**provider, "enable_cuda_graph": "1"}
                session = ort.InferenceSession(
                    str(path), options, providers=[(CUDA, recording), "CPUExecutionProvider"]
                )
            except Exception as error:  # onnxruntime has one exception class for each kind of failure
                self._recorder = None
                log.warning("%s: its runs cannot be recorded: %s", path, str(error).partition("\n")[0])
        if session is None:
            session = ort.InferenceSession(str(path), options, providers=[(CUDA, provider), "CPUExecutionProvider"])
        if missing := sorted({CUDA} - set(session.get_providers())) or sorted(operators_on_cpu(session) & COMPUTE):
            raise ArtifactError(
                f"{path}: onnxruntime {ort.__version__} has no {', '.join(missing)} for this graph on {device}; "
                "install onnxruntime-gpu 1.31 or later, or set ATTENDANT_DEVICE to cpu"
            )
        return session

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
        if self._recorder is not None:
            return RecordedSession(self._session, inputs, outputs, self._recorder)
        return BoundSession(self._session, inputs, outputs)


def operators_on_cpu(session: ort.InferenceSession) -> set[str]:
    """Return the types of the operators that a session runs on the CPU; its options must ask for a record of that."""
    parts = session.get_provider_graph_assignment_info()
    return {node.op_type for part in parts if part.ep_name == "CPUExecutionProvider" for node in part.get_nodes()}


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


class Recorder:
    """Numbers the recorded bindings of a session, and lets one of them run at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.numbers = itertools.count(1)


class RecordedSession(BoundSession):
    """A bound session whose first run is recorded, and repeated by all others."""

    def __init__(self, session: ort.InferenceSession, inputs: Bound, outputs: Bound, recorder: Recorder) -> None:
        super().__init__(session, inputs, outputs)
        self._lock, self._options = recorder.lock, ort.RunOptions()
        self._options.add_run_config_entry("gpu_graph_id", str(next(recorder.numbers)))

    def run(self) -> None:
        """Run the graph on the current contents of the arrays."""
        with self._lock:
            self._session.run_with_iobinding(self._binding, self._options)
