"""onnxruntime, and nothing else in the project imports it."""

import os
from pathlib import Path

import numpy as np

from service.artifact import ArtifactError

# Official builds of onnxruntime report their use to Microsoft unless told not to, before they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort  # noqa: E402

Arrays = dict[str, np.ndarray]


class Session:
    """One ONNX graph, ready to run.

    Raises:
        ArtifactError: the file is no graph that this onnxruntime can run.
    """

    def __init__(self, path: Path, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        # A pattern is kept for every combination of shapes ever seen, and a batch has another one all the time.
        options.enable_mem_pattern = False
        # Idle workers sleep: models share the cores with each other and with the HTTP thread.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the library has an exception class of its own for every kind of damage
            raise ArtifactError(f"{path}: onnxruntime cannot load it: {error}") from None
        self.outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Arrays) -> Arrays:
        """Inputs by name to outputs by name."""
        return dict(zip(self.outputs, self._session.run(None, inputs), strict=True))

    def bind(self, inputs: Arrays, outputs: Arrays) -> "BoundSession":
        """Bind arrays once for many runs: inputs are read and outputs written where they lie.

        An array that is both an input and an output is updated in place by operators that support it.
        """
        return BoundSession(self._session, inputs, outputs)


class BoundSession:
    """A session with its arrays bound; contiguous arrays only, they are shared and never copied."""

    def __init__(self, session: ort.InferenceSession, inputs: Arrays, outputs: Arrays) -> None:
        self._session, self._binding = session, session.io_binding()
        # By address: an OrtValue for each array would take longer than a small model's step.
        for bind, arrays in ((self._binding.bind_input, inputs), (self._binding.bind_output, outputs)):
            for name, array in arrays.items():
                bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        self._alive = inputs, outputs

    def run(self) -> None:
        """Run on what the arrays hold now."""
        self._session.run_with_iobinding(self._binding)
