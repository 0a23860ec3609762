"""Models that are loaded into the engine process, and out of it, while it runs."""

import asyncio
import gc
import socket
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pytest

from service.artifact import ArtifactError, read_artifact
from service.engine.interfaces import PoolConfig
from service.engine.occupancy import QueueLimits
from service.engine.options import DecodingOptions
from service.engine.process import messages
from service.engine.process.__main__ import PoolServers
from service.engine.process.channel import MessageChannel
from service.engine.process.client import EngineEvents, EngineProcess
from service.engine.process.remote_pool import RemoteWorkerPool
from service.engine.queue import Unavailable
from service.engine.types import EngineFailure, EngineRequest
from tests.service.conftest import corrupt
from tests.service.engine.process.test_remote_pool import pool_config
from tests.service.fakes import TIMEOUT, RecordingObserver

EOS = 3


def observer(_: str) -> RecordingObserver:
    return RecordingObserver()


async def translate(pool: RemoteWorkerPool) -> list[int]:
    pool.queue.submit([request := EngineRequest([5, 9, EOS], DecodingOptions(max_length=5))])
    return (await asyncio.wait_for(request.future.wait(), TIMEOUT)).ids


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that no event signals."""
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0.005)


def test_models_are_loaded_and_unloaded_and_a_new_process_loads_those_that_are_left(
    toy_translator: Path, tmp_path: Path
) -> None:
    restarts: list[str] = []
    artifact = read_artifact(copytree(toy_translator, tmp_path / "first"))
    others = [
        replace(read_artifact(copytree(toy_translator, tmp_path / name)), number=i) for i, name in ((1, "b"), (2, "c"))
    ]

    async def run(engine: EngineProcess, first: RemoteWorkerPool) -> None:
        expected = await translate(first)
        [one, other] = [await engine.load(another, pool_config(), observer) for another in others]
        assert list(one) == ["toy-translator#1", "toy-translator#1/score"]
        assert one["toy-translator#1"].name == "toy-translator"
        pools = [first, one["toy-translator#1"], other["toy-translator#2"]]
        assert [await translate(pool) for pool in pools] == [expected] * 3
        engine.retire("toy-translator#1")
        assert await translate(pools[1]) == expected
        await engine.unload("toy-translator#1")

        engine.retire("toy-translator#2")
        (tmp_path / "c" / "manifest.json").unlink()  # a retired artifact is not read again
        engine.kill()
        await until(lambda: bool(restarts))
        assert await translate(first) == expected
        with pytest.raises(Unavailable):
            await translate(pools[2])
        await engine.unload("toy-translator#2")
        for pool in (first, engine._pools["toy-translator/score"]):
            await asyncio.to_thread(pool.drain, TIMEOUT)

    with EngineProcess(EngineEvents(on_restart=lambda: restarts.append("again"))) as engine:
        pools = engine.start_pools([artifact], pool_config(), observer).pools
        asyncio.run(run(engine, pools["toy-translator"]))
    assert engine._process.returncode == 0


def test_faulty_artifact_is_not_loaded_and_a_death_fails_the_load(toy_translator: Path, tmp_path: Path) -> None:
    faulty = replace(
        read_artifact(corrupt(copytree(toy_translator, tmp_path / "x"), "step.onnx", b"no graph")), number=1
    )

    async def run(engine: EngineProcess, first: RemoteWorkerPool) -> None:
        expected = await translate(first)
        with pytest.raises(ArtifactError, match="onnxruntime cannot load it"):
            await engine.load(faulty, pool_config(), observer)
        loading = asyncio.ensure_future(engine.load(faulty, pool_config(), observer))
        await asyncio.sleep(0)
        engine.kill()
        with pytest.raises((EngineFailure, ArtifactError)):
            await asyncio.wait_for(loading, TIMEOUT)
        await until(lambda: not first.problem)
        assert await translate(first) == expected
        for pool in (first, engine._pools["toy-translator/score"]):
            await asyncio.to_thread(pool.drain, TIMEOUT)

    with EngineProcess() as engine:
        pools = engine.start_pools([read_artifact(toy_translator)], pool_config(), observer).pools
        asyncio.run(run(engine, pools["toy-translator"]))


def test_unloaded_model_is_freed_at_once(toy_translator: Path) -> None:
    """Without waiting for the garbage collector, whose full collections are rare."""
    near, far = socket.socketpair()
    with near, far:
        servers, service = PoolServers(MessageChannel(far)), MessageChannel(near)
        near.settimeout(TIMEOUT)
        gc.disable()
        try:
            servers.handle(messages.LoadModels([read_artifact(toy_translator)], PoolConfig(1, 1, QueueLimits())))
            assert list(service.receive().pools) == ["toy-translator", "toy-translator/score"]
            references: list[weakref.ref[object]] = [weakref.ref(pool) for pool in servers.pools.values()]
            references += [weakref.ref(one.workers[0].engine) for one in servers.pools.values()]
            servers.handle(messages.UnloadModel("toy-translator"))
            assert service.receive() == messages.ModelUnloaded("toy-translator")
            assert servers.pools == {}
            assert [reference() for reference in references] == [None] * 4
        finally:
            gc.enable()
