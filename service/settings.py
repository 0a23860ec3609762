"""Settings, from environment variables that start with ATTENDANT_."""

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, NamedTuple

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "ATTENDANT_"
ORIGIN = re.compile(r"\*|https?://[^/\s]+")
CANARY = re.compile(r"(?P<name>[^@=\s]+@[^=\s]+)=(?P<share>0|1(\.0+)?|0?\.\d+)", re.ASCII)
DEVICE = re.compile(r"cpu(:resident)?|auto|cuda(:\d{1,3})?", re.ASCII)
ROOT_PATH = re.compile(r"(?:/[\w.~-]+)*", re.ASCII)
MAX_DEFAULT_WORKERS = 4  # with more, each has too few rows to compute efficiently; further cores become threads


class SettingsError(Exception):
    """Invalid environment variables, one error a line."""


class Canary(NamedTuple):
    """A version that is tried out: NAME@VERSION, and the share of its model's requests that it answers, 0 to 1."""

    name: str
    share: float


class Settings(BaseSettings):
    """All settings of the service; read once at start, never changed."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    settings_file: Path | None = Field(
        default=None,
        description="File with further settings, `NAME=VALUE` a line; `#` begins a comment. Those of the environment "
        "have precedence. SIGHUP rereads it: API keys and rate limits change at once, the rest at the next start.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 lets the system choose one.")
    root_path: str = Field(
        default="",
        description="Path below which a proxy serves this service, such as `/attendant`, if it removes the path from "
        "what it sends here. It begins the URLs that the service returns. Empty: none.",
    )
    grpc_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of the Open Inference Protocol over gRPC, on the same address, without TLS; clients expect "
        "8001. It needs the extra `grpc`. Empty: no gRPC.",
    )
    models: str | Path = Field(
        default="models",
        description="Folders that contain the artifact folders to serve, and URLs of artifacts (`https://`, `s3://`, "
        "`hf://`, ...; with the extra `remote`), separated by commas.",
    )
    cache: Path = Field(
        default=Path("~/.cache/attendant"),
        description="Folder in which artifacts from URLs are kept.",
    )
    watch_seconds: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Time between two looks at the models folder: what has changed in it, and has not changed further "
        "by the next look, is loaded or unloaded. 0: never look, only at SIGHUP.",
    )
    strict: bool = Field(
        default=False,
        description="Start only if every artifact in the models folder can be served. False: serve the good ones, and "
        "list the others in the log, /v1/models and /readyz.",
    )
    translator: str = Field(
        default="",
        description="Name of the translator for requests that name no model, wherever it can translate, by way of "
        "English too; the other translators have the rest. Empty: the first by name that has the direction.",
    )
    classifier: str = Field(
        default="",
        description="Name of the classifier for requests that name no model. Empty: the only one besides the detector; "
        "where there are several, such requests fail with 400.",
    )
    canary: str = Field(
        default="",
        description="A version to try out, as NAME@VERSION=SHARE, such as `intents@3=0.05`: it answers this share of "
        "the requests for the model that name no version, and the newest of the other versions answers the rest. Its "
        "latencies and tokens in `/metrics` have the label `NAME@VERSION`. Empty: the newest version answers all.",
    )
    detector: str = Field(
        default="langid",
        description="Name of the classifier that detects the language of a text; its labels are language codes such "
        "as `de`.",
    )

    device: str = Field(
        default="cpu",
        description="Where models run: `cpu`, `cuda` or `cuda:N` (the GPU of number N; it must be usable), or `auto` "
        "(the first GPU if it is usable, else the CPU). A GPU runs artifacts in fp16; others stay on the CPU. "
        "`cpu:resident` runs the GPU code path on the CPU, with the same answers: for tests.",
    )
    workers: int = Field(
        default=0,
        ge=0,
        description="Worker threads of each model, each with its own batch. 0: one per core granted by the CPU "
        "affinity and the cgroup quota, at most 4, and on a GPU one. A model that also scores translations has as many "
        "again for that.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        description="Threads that each worker computes with. 0: the cores are shared among the workers of a model.",
    )
    rows: int = Field(
        default=128,
        ge=1,
        description="Rows of the running batches of a model, all workers together. A segment takes one row, with beam "
        "search as many as the beam size.",
    )
    encode_tokens: int = Field(
        default=4096,
        ge=1,
        description="Source tokens, padding included, that may join a worker's batch before one decoding step.",
    )
    queue_segments: int = Field(
        default=2048,
        ge=1,
        description="Segments that may wait for a model; a caller that has its share of them fails with 503. "
        "Requests of more than 8 segments leave a sixteenth of them to smaller ones.",
    )
    queue_tokens: int = Field(
        default=131_072,
        ge=1,
        description="Source tokens that may wait for a model; a caller that has its share of them fails with 503. "
        "Requests of up to 8 segments may use twice as many.",
    )
    guard: bool = Field(
        default=True,
        description="Check translations while and after they are generated: end loops, and translate a sentence again "
        "that looks wrong or has lost a number. False: return the model's first answer.",
    )

    page: bool = Field(
        default=True,
        description="Serve the page at `/`, where people translate, classify and watch the service in a browser. "
        "False: `/` leads to /docs.",
    )
    keys: str | None = Field(
        default=None,
        description="Entries of API keys (`NAME:HASH`), separated by commas or white space. Without this and "
        "ATTENDANT_KEY_FILE, the service serves every caller.",
    )
    key_file: Path | None = Field(
        default=None, description="File with entries of API keys, one a line; `#` begins a comment."
    )
    admin_keys: str | None = Field(
        default=None,
        description="Entries of the API keys that may load and unload models, separated by commas or white space. "
        "Without this, models change only at SIGHUP and by ATTENDANT_WATCH_SECONDS.",
    )
    glossary_file: Path | None = Field(
        default=None,
        description="SQLite file for the glossaries of DeepL's clients; it is created. Without it they are kept in "
        "memory, until the service stops.",
    )
    requests_per_minute: int = Field(
        default=0,
        ge=0,
        description="Requests that one API key, or without keys one address, may send a minute; further ones fail with "
        "429. 0: unlimited.",
    )
    concurrent_requests: int = Field(
        default=0,
        ge=0,
        description="Requests of one API key, or without keys of one address, that may run at once; further ones fail "
        "with 429. 0: unlimited.",
    )
    cors_origins: str = Field(
        default="",
        description="Origins whose web pages may send requests from a browser, separated by commas; `*` allows all. "
        "Empty: none, except that those of any origin may use LibreTranslate's paths, as with the original.",
    )

    max_body_bytes: int = Field(
        default=1_000_000, ge=1, description="Size of a request's body in bytes; a larger one fails with 413."
    )
    max_texts: int = Field(default=256, ge=1, description="Texts in one request; more fail with 413.")
    max_text_characters: int = Field(
        default=20_000, ge=1, description="Characters of one text; a longer one fails with 413."
    )
    max_document_bytes: int = Field(
        default=10_000_000,
        ge=1,
        description="Size of a document to translate in bytes; a larger one fails with 413. A zip container, such as "
        "docx, may be ten times as large when it is unpacked.",
    )
    max_documents: int = Field(
        default=32,
        ge=1,
        description="Documents in memory: waiting, being translated or waiting to be downloaded. Of these, one caller "
        "may have half; further ones fail with 429, or with 503 if there is no room for any caller.",
    )
    document_timeout_seconds: float = Field(
        default=1800.0,
        gt=0,
        allow_inf_nan=False,
        description="Time to translate a document, from its turn; after it the document fails.",
    )
    document_lifetime_seconds: float = Field(
        default=3600.0,
        gt=0,
        allow_inf_nan=False,
        description="Time to download a translated document; after it the document is deleted.",
    )
    body_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        allow_inf_nan=False,
        description="Time for a request's body to arrive; a slower one fails with 408.",
    )
    request_timeout_seconds: float = Field(
        default=60.0,
        gt=0,
        allow_inf_nan=False,
        description="Time to answer a request; after it the request fails with 504.",
    )
    drain_timeout_seconds: float = Field(
        default=30.0,
        gt=0,
        allow_inf_nan=False,
        description="Time to stop, after the lame-duck time: to finish accepted requests and to end the engine.",
    )
    lame_duck_seconds: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="Time after the signal to stop in which the service still accepts connections and requests, with "
        "/readyz at 503 and `Connection: close` in every answer, until the load balancer has noticed. Kubernetes: 5.",
    )
    max_requests: int = Field(
        default=128,
        ge=1,
        description="Requests that may be in flight; further ones get 503 before their body is read. Fewer are "
        "accepted under overload.",
    )
    max_connections: int = Field(
        default=8192,
        ge=1,
        description="Connections that may be open, fewer if the limit of open files is lower. A further one takes the "
        "place of the longest idle one; if none is idle, it gets 503.",
    )

    traces: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the requests that are traced with OpenTelemetry; one whose `traceparent` says that its "
        "caller traces it always is. It needs the extra `otel`; OTEL_EXPORTER_OTLP_ENDPOINT says where traces go. "
        "0: no traces.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="Format of the log's lines: text, or a JSON object each, for programs."
    )

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, value: str) -> str:
        for origin in split_list(value):
            if not ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin} is not an origin; write https://host or https://host:port without a path, or *"
                )
        return value

    @field_validator("device")
    @classmethod
    def _check_device(cls, value: str) -> str:
        if not DEVICE.fullmatch(value):
            raise ValueError("use cpu, cuda, cuda:N for the GPU of number N, or auto")
        return value

    @field_validator("canary")
    @classmethod
    def _check_canary(cls, value: str) -> str:
        if value and not CANARY.fullmatch(value):
            raise ValueError("write NAME@VERSION=SHARE, with a share from 0 to 1 such as 0.05")
        return value

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, value: str) -> str:
        if not ROOT_PATH.fullmatch(value):
            raise ValueError("write a path such as /attendant, with a slash at its beginning and none at its end")
        return value

    @property
    def origins(self) -> list[str]:
        """`cors_origins` as a list."""
        return split_list(self.cors_origins)

    @property
    def requires_key(self) -> bool:
        """Whether callers need an API key."""
        return self.keys is not None or self.key_file is not None

    @property
    def canary_version(self) -> Canary | None:
        """The version to try out, if there is one."""
        found = CANARY.fullmatch(self.canary)
        return None if found is None else Canary(found["name"], float(found["share"]))

    def workers_and_threads(self, cores: int) -> tuple[int, int]:
        """Return the workers of each model and the threads of each worker, on a number of cores."""
        workers = min(self.workers or min(cores, MAX_DEFAULT_WORKERS), self.rows)
        return workers, self.threads or max(1, cores // workers)


def read_settings() -> Settings:
    """Read the settings from the environment of this process, and from the file that it names.

    Raises:
        SettingsError: with all values out of range and all unknown variables. An unknown variable is an error because
            a misspelt limit would not limit.
    """
    file = next((os.environ[name] for name in os.environ if name.upper() == f"{PREFIX}SETTINGS_FILE"), "")
    errors = _unknown_names([name for name in os.environ if name.upper().startswith(PREFIX)]) + _file_errors(file)
    try:
        settings = Settings(_env_file=file or None)  # type: ignore[call-arg] # an argument of BaseSettings
    except ValidationError as invalid:
        for error in invalid.errors():
            if error["type"] == "extra_forbidden":  # an unknown name in the file
                continue
            name = PREFIX + "_".join(map(str, error["loc"])).upper()
            errors.append(f"{name} is {error['input']!r}: {error['msg'].removeprefix('Value error, ')}")
    if errors:
        raise SettingsError("\n".join(errors))
    return settings


def _file_errors(file: str) -> list[str]:
    """Return what is wrong with the file of settings, if there is one."""
    if not file:
        return []
    try:
        Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return [f"{PREFIX}SETTINGS_FILE: {file} cannot be read: {error}"]
    return [f"{file}: {error}" for error in _unknown_names(list(dotenv_values(file)))]


def _unknown_names(names: Iterable[str]) -> list[str]:
    """Return an error for every name that is not a setting."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    unknown = sorted(name for name in names if name.upper() not in known)
    nearest = [get_close_matches(name.upper(), known, n=1, cutoff=0.0)[0] for name in unknown]
    return [f"unknown setting {name}; did you mean {near}?" for name, near in zip(unknown, nearest, strict=True)]


def split_list(text: str) -> list[str]:
    """Return the items of a text, separated by commas or white space."""
    return re.findall(r"[^\s,]+", text)
