"""What both baseline servers share: command line of the batcher, application, uvicorn."""

import argparse
import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from benchmarks.baselines.batcher import Batcher, BatchingOptions

# Texts are tokenised one at a time: a thread pool would cost more than it gains and take cores from the model.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the common options."""
    top = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--port", type=int, required=True)
    top.add_argument("--max-batch", type=int, default=64, help="requests computed together at most")
    top.add_argument("--max-wait-ms", type=float, default=2.0, help="waiting time after the first request of a batch")
    top.add_argument(
        "--sub-batch",
        type=int,
        default=0,
        help="requests computed in one pass, sorted by length; 0: the whole batch",
    )
    top.add_argument("--workers", type=int, default=1, help="batches computed at the same time")
    top.add_argument("--threads", type=int, default=2, help="threads of one batch")
    return top


def batching_options(arguments: argparse.Namespace) -> BatchingOptions:
    """Return the batcher's options from the command line."""
    return BatchingOptions(arguments.max_batch, arguments.max_wait_ms / 1000, arguments.workers)


def application(batcher: Batcher[Any, Any]) -> FastAPI:
    """Return an application that runs the batcher and answers /readyz."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(batcher.run())
        yield
        task.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app


def serve(app: FastAPI, port: int) -> None:
    """Serve until SIGTERM; uvicorn uses uvloop and httptools where installed, as for this service."""
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="warning")
