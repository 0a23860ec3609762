"""Settings, from environment variables that start with ATTENDANT_."""

import os
import re
from difflib import get_close_matches
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "ATTENDANT_"
ORIGIN = re.compile(r"\*|https?://[^/\s]+")
MOST_WORKERS = 4  # more share out too few rows each to compute efficiently; further cores become threads


class SettingsError(Exception):
    """What is wrong with the environment, one fault a line."""


class Settings(BaseSettings):
    """Every knob of the service; read once at start, never changed."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    models: Path = Path("models")  # a folder of artifact folders
    classifier: str = ""  # the one for requests that name no model; empty: the only one, or the request must
    detector: str = "langid"  # the classifier that finds out what language a text is in, by labels such as "de"
    workers: int = Field(default=0, ge=0)  # of each model; 0 takes one a core that the cgroup grants, at most 4
    threads: int = Field(default=0, ge=0)  # of each worker; 0 shares the cores among the workers

    rows: int = Field(default=128, ge=1)  # of a model, all workers together; a segment takes one, or its beam size
    encode_tokens: int = Field(default=4096, ge=1)  # padded tokens that may join before one decoding step
    queue_segments: int = Field(default=2048, ge=1)  # of a model; more is answered 503
    queue_tokens: int = Field(default=131_072, ge=1)

    # Loops end while they are written, and what looks wrong or has lost a number is translated anew; without, a
    # translation is what the model says first.
    guard: bool = True

    keys: str | None = None  # entries of API keys; without these and the file, everybody is served
    key_file: Path | None = None  # one entry a line
    requests_per_minute: int = Field(default=0, ge=0)  # of one caller; 0 is no limit
    concurrent_requests: int = Field(default=0, ge=0)  # of one caller; 0 is no limit
    cors_origins: str = ""  # whose pages may ask from a browser: origins, or * for all

    max_body_bytes: int = Field(default=1_000_000, ge=1)
    max_texts: int = Field(default=256, ge=1)  # in one request
    max_text_characters: int = Field(default=20_000, ge=1)  # in one text
    body_timeout_seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)  # for it to arrive
    request_timeout_seconds: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    drain_timeout_seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)  # for what is admitted

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: str) -> str:
        for origin in words(value):
            if not ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin} is no origin; write https://host or https://host:port, no path, or *")
        return value

    @property
    def origins(self) -> list[str]:
        """`cors_origins`, one by one."""
        return words(self.cors_origins)

    @property
    def closed(self) -> bool:
        """Whether a key is needed."""
        return self.keys is not None or self.key_file is not None

    def workers_and_threads(self, cores: int) -> tuple[int, int]:
        """Workers of each model, and threads of each worker, on so many cores."""
        workers = min(self.workers or min(cores, MOST_WORKERS), self.rows)
        return workers, self.threads or max(1, cores // workers)


def read_settings() -> Settings:
    """The settings of this process's environment.

    Raises:
        SettingsError: values out of range, and variables that are no setting: a misspelt limit would not limit.
    """
    faults = _strangers()
    try:
        settings = Settings()
    except ValidationError as error:
        for fault in error.errors():
            name = PREFIX + "_".join(map(str, fault["loc"])).upper()
            faults.append(f"{name} is {fault['input']!r}: {fault['msg']}")
    if faults:
        raise SettingsError("\n".join(faults))
    return settings


def _strangers() -> list[str]:
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    given = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)
    nearest = [get_close_matches(name.upper(), known, n=1, cutoff=0.0)[0] for name in given]
    return [f"{name} is no setting; do you mean {near}?" for name, near in zip(given, nearest, strict=True)]


def words(text: str) -> list[str]:
    """What white space and commas part."""
    return re.findall(r"[^\s,]+", text)
