"""Every graph loads and runs in onnxruntime-gpu, on its CPU provider: a venv that has it instead of onnxruntime.

ONNXRUNTIME_GPU_PYTHON names the python of such a venv; without it the tests are skipped.
"""

import os
import subprocess
from pathlib import Path

import pytest

from export.graphs.device import FOLDER

PYTHON = os.environ.get("ONNXRUNTIME_GPU_PYTHON", "")
SHIPPED = Path(__file__).parents[2] / "models"
LOAD = """
import sys
import onnxruntime
assert "CUDAExecutionProvider" in onnxruntime.get_available_providers()
for file in sys.argv[1:]:
    onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
"""

pytestmark = pytest.mark.skipif(not PYTHON, reason="ONNXRUNTIME_GPU_PYTHON does not name a venv with onnxruntime-gpu")


@pytest.mark.parametrize("artifact", ["toy_translator", "toy_translator_fp16", "toy_classifier_fp16"])
def test_graphs_of_an_artifact_load(artifact: str, request: pytest.FixtureRequest) -> None:
    load(sorted(request.getfixturevalue(artifact).glob("*.onnx")))


def test_shipped_graphs_and_those_that_move_rows_load() -> None:
    load([*sorted(FOLDER.glob("*.onnx")), *sorted(SHIPPED.glob("*/*.onnx"))])


def load(files: list[Path]) -> None:
    assert files
    environment = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
    subprocess.run([PYTHON, "-c", LOAD, *map(str, files)], check=True, env=environment, timeout=120)
