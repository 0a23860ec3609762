"""Settings: workers and threads on a number of cores, and the limits of a loaded model."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.engine.factory import start_pools
from service.engine.models.translate import TranslateEngine
from service.engine.occupancy import QueueLimits
from service.engine.worker import LocalWorkerPool
from service.metrics import Metrics
from service.models.loading import load_models
from service.models.served_model import ServedModel
from service.settings import MAX_DEFAULT_WORKERS, Settings
from tests.service.fakes import TIMEOUT


@pytest.mark.parametrize(
    ("settings", "cores", "workers_and_threads"),
    [
        ({}, 1, (1, 1)),
        ({}, 2, (2, 1)),
        ({}, MAX_DEFAULT_WORKERS, (MAX_DEFAULT_WORKERS, 1)),
        ({}, 2 * MAX_DEFAULT_WORKERS, (MAX_DEFAULT_WORKERS, 2)),
        ({}, 2 * MAX_DEFAULT_WORKERS + 1, (MAX_DEFAULT_WORKERS, 2)),
        ({"workers": 1}, 8, (1, 8)),
        ({"workers": 3}, 2, (3, 1)),
        ({"threads": 5}, 2, (2, 5)),
        ({"workers": 2, "threads": 3}, 16, (2, 3)),
        ({"rows": 1}, 4, (1, 4)),
        ({"rows": 2, "workers": 4}, 4, (2, 2)),
    ],
)
def test_workers_and_threads_share_the_cores(
    settings: dict[str, int], cores: int, workers_and_threads: tuple[int, int]
) -> None:
    assert Settings(**settings).workers_and_threads(cores) == workers_and_threads  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["workers", "threads"])
def test_negative_numbers_are_rejected(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Settings(**{field: -1})  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["cpu", "cpu:resident", "auto", "cuda", "cuda:0", "cuda:12"])
def test_device_is_a_name_with_a_number(device: str) -> None:
    assert Settings(device=device).device == device


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cpu:0", "cuda:x", "cuda "])
def test_unknown_device_is_rejected(device: str) -> None:
    with pytest.raises(ValidationError, match="use cpu, cuda, cuda:N for the GPU of number N, or auto"):
        Settings(device=device)


def local_pool(model: ServedModel) -> LocalWorkerPool:
    assert isinstance(model.worker_pool, LocalWorkerPool)
    return model.worker_pool


def test_settings_apply_to_loaded_models(toy_models: Path) -> None:
    settings = Settings(
        models=toy_models, workers=3, rows=20, encode_tokens=100, queue_segments=50, queue_tokens=600
    )  # fmt: skip
    registry = load_models(settings, Metrics(), start_pools)
    for model in registry:
        pool = local_pool(model)
        assert pool.queue.limits == QueueLimits(rows=20, encode_tokens=100, queue_segments=50, queue_tokens=600)
        assert len(pool.workers) == 3
        assert pool.queue.rows_per_worker == 6
    translator = registry.get("toy-translator", "translate")
    engines = [worker.engine for worker in local_pool(translator).workers]
    assert all(isinstance(engine, TranslateEngine) and engine.rows == 6 for engine in engines)
    assert len({id(engine.graphs) for engine in engines if isinstance(engine, TranslateEngine)}) == 1
    registry.drain(TIMEOUT)
    assert translator.worker_pool.problem
