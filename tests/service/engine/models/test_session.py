"""Sessions: graphs that cannot be loaded, and arrays that a graph updates in place."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from service.artifact import ArtifactError, read_artifact
from service.engine.device import CPU
from service.engine.models.decoder import HostDecoder
from service.engine.models.device_pool import GRAPHS
from service.engine.models.session import BoundSession, RecordedSession, Session, operators_on_cpu
from service.engine.models.translate import TranslateEngine, TranslateGraphs
from service.engine.types import EngineRequest
from tests.service.engine.devices import BUCKETS


def test_file_that_is_not_a_graph_raises_artifact_error(tmp_path: Path) -> None:
    file = tmp_path / "step.onnx"
    file.write_bytes(b"not a graph at all")
    with pytest.raises(ArtifactError, match=r"step\.onnx: onnxruntime cannot load it"):
        Session(file, threads=1)


def test_operators_that_run_on_the_cpu_are_found() -> None:
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(str(GRAPHS / "move_int8.onnx"), options, providers=["CPUExecutionProvider"])
    assert operators_on_cpu(session) == {"Gather", "ScatterND"}


def test_runs_on_the_same_arrays_are_recorded_where_rows_have_buckets() -> None:
    """A CPU takes the same way, and records nothing."""
    logits, rows, lines = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1]), np.empty((1, 3), np.float32)
    for device, kind in [(BUCKETS, RecordedSession), (CPU, BoundSession)]:
        session = Session(GRAPHS / "read.onnx", 1, device, record=True)
        bound = session.bind({"logits": logits, "rows": rows}, {"lines": lines})
        assert type(bound) is kind
        lines[:] = 0
        bound.run()
        assert lines.tolist() == [[3, 4, 5]]


def test_step_updates_caches_in_place(toy_translator: Path) -> None:
    """One array bound as past and as present: nothing is copied; other rows and later positions do not change."""
    engine = TranslateEngine(TranslateGraphs.load(read_artifact(toy_translator), threads=1), rows=3)
    assert isinstance(engine.decoder, HostDecoder)
    pool = engine.decoder.pool
    engine.join([EngineRequest([5, 20, 3]), EngineRequest([5, 30, 40, 3])])
    cache, cross_key = pool.array("self_key_0"), pool.array("cross_key_0").copy()
    engine.forward()
    assert np.abs(cache[:2, :, 0]).min() > 0
    assert not cache[:2, :, 1:].any()
    assert not cache[2].any()
    first = cache[:2, :, 0].copy()
    engine.position[:2] = 1
    engine.forward()
    assert np.abs(cache[:2, :, 1]).min() > 0
    np.testing.assert_array_equal(cache[:2, :, 0], first)
    np.testing.assert_array_equal(pool.array("cross_key_0"), cross_key)
