"""Command line: `python -m service`, configured by environment variables (service/settings.py)."""

import logging
import math
import signal
import sys

import uvicorn
from pydantic import ValidationError

from service.app import create_app
from service.artifact import ArtifactError
from service.metrics import Metrics
from service.registry import load_models
from service.settings import Settings


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = Settings()
        metrics = Metrics()
        registry = load_models(settings, metrics)
    except ValidationError as error:
        for fault in error.errors():
            name = "ATTENDANT_" + "_".join(map(str, fault["loc"])).upper()
            sys.stderr.write(f"error: {name} is {fault['input']!r}: {fault['msg']}\n")
        return 1
    except ArtifactError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    # uvicorn drains at SIGTERM, then raises the signal anew: what was asked for and done is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    uvicorn.run(
        create_app(settings, registry, metrics),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,  # the edge writes one line a request, with its id
        timeout_graceful_shutdown=math.ceil(settings.drain_timeout_seconds),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
