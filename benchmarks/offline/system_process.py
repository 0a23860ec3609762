"""Run a system in a long-lived process of its own, so that thread pools and memory of two systems never mix."""

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


class SystemProcessError(RuntimeError):
    """A system's process died; the message ends with its output."""


class SystemProcess:
    """Context manager: starts the process at once, ends it on exit.

    Raises:
        SystemProcessError: from every method, when the process has died.
    """

    def __init__(self, python: Path, kind: str, options: Mapping[str, object]) -> None:
        self.kind = kind
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            [str(python), "-m", "benchmarks.common.systems", kind, json.dumps(options)],
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
        )
        self._description: dict[str, Any] | None = None

    def description(self) -> dict[str, Any]:
        """Return name, modes and settings; waits until the system is loaded."""
        if self._description is None:
            self._description = self._read()
        return self._description

    def translate(self, sources: list[list[int]], mode: str, setting: str) -> tuple[float, list[list[int]]]:
        """Return the seconds from ids to ids, and the target ids."""
        assert self._process.stdin is not None
        self.description()
        try:
            self._process.stdin.write(json.dumps({"sources": sources, "mode": mode, "setting": setting}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failure() from None
        reply = self._read()
        return reply["seconds"], reply["ids"]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failure()
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _failure(self) -> SystemProcessError:
        status = self._process.wait()
        self._stderr.seek(0)
        return SystemProcessError(f"{self.kind} ended with status {status}:\n{self._stderr.read()[-2000:]}")

    def __enter__(self) -> "SystemProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            assert stream is not None
            stream.close()
