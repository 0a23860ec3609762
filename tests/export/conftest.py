"""What the tests of imports share: each graph is traced once, because tracing takes longest."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.conftest import BuildOnce, trace_once

if TYPE_CHECKING:
    from onnx import ModelProto

    from export.graphs.spec import GraphSpec


@pytest.fixture(scope="session")
def trace(build_once: BuildOnce, operators_read_once: None) -> Callable[["GraphSpec"], "ModelProto"]:
    """Return a `to_onnx` that traces each graph once."""
    return partial(trace_once, build_once)
