"""Settings, from environment variables that start with ATTENDANT_."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MOST_WORKERS = 4  # more share out too few rows each to compute efficiently; further cores become threads


class Settings(BaseSettings):
    """Every knob of the service; read once at start, never changed."""

    model_config = SettingsConfigDict(env_prefix="ATTENDANT_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    models: Path = Path("models")  # a folder of artifact folders
    detector: str = "langid"  # the classifier that finds out what language a text is in, by labels such as "de"
    workers: int = Field(default=0, ge=0)  # of each model; 0 takes one a core that the cgroup grants, at most 4
    threads: int = Field(default=0, ge=0)  # of each worker; 0 shares the cores among the workers

    rows: int = Field(default=128, ge=1)  # of a model, all workers together; a segment takes one, or its beam size
    encode_tokens: int = Field(default=4096, ge=1)  # padded tokens that may join before one decoding step
    queue_segments: int = Field(default=2048, ge=1)  # of a model; more is answered 503
    queue_tokens: int = Field(default=131_072, ge=1)

    max_body_bytes: int = Field(default=1_000_000, ge=1)
    max_texts: int = Field(default=256, ge=1)  # in one request
    max_text_characters: int = Field(default=20_000, ge=1)  # in one text
    request_timeout_seconds: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    drain_timeout_seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)  # for what is admitted

    def crew(self, cores: int) -> tuple[int, int]:
        """Workers of each model, and threads of each worker, on so many cores."""
        workers = min(self.workers or min(cores, MOST_WORKERS), self.rows)
        return workers, self.threads or max(1, cores // workers)
