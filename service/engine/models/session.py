"""ONNX graphs. The only module of the project that imports onnxruntime."""

import os
from pathlib import Path

import numpy as np

from service.artifact import ArtifactError

# Official builds of onnxruntime report usage to Microsoft unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort  # noqa: E402

Arrays = dict[str, np.ndarray]


class Session:
    """One ONNX graph, loaded.

    Raises:
        ArtifactError: onnxruntime cannot load the file.
    """

    def __init__(self, path: Path, threads: int) -> None:
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
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has one exception class for each kind of failure
            raise ArtifactError(f"{path}: onnxruntime cannot load it: {error}") from None
        self.inputs = {tensor.name for tensor in self._session.get_inputs()}
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs by name for inputs by name."""
        return dict(zip(self.outputs, self._session.run(None, inputs), strict=True))

    def bind(self, inputs: Arrays, outputs: Arrays) -> "BoundSession":
        """Bind contiguous arrays once for many runs, which read and write them without a copy.

        An array that is both an input and an output is updated in place by operators that support it.
        """
        return BoundSession(self._session, inputs, outputs)


class BoundSession:
    """A session with its input and output arrays bound."""

    def __init__(self, session: ort.InferenceSession, inputs: Arrays, outputs: Arrays) -> None:
        self._session, self._binding = session, session.io_binding()
        # Bound by address: creating an OrtValue for each array would take longer than a small model's step.
        for bind, arrays in ((self._binding.bind_input, inputs), (self._binding.bind_output, outputs)):
            for name, array in arrays.items():
                bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self._arrays = inputs, outputs  # keeps the memory alive

    def run(self) -> None:
        """Run the graph on the current contents of the arrays."""
        self._session.run_with_iobinding(self._binding)
