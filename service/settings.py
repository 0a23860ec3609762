"""Settings, from environment variables that start with ATTENDANT_."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every knob of the service; read once at start, never changed."""

    model_config = SettingsConfigDict(env_prefix="ATTENDANT_", frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    models: Path = Path("models")  # a folder of artifact folders
    threads: int = Field(default=0, ge=0)  # of each model's graphs; 0 takes the cores that the cgroup grants

    rows: int = Field(default=64, ge=1)  # segments of a model computed together
    encode_tokens: int = Field(default=4096, ge=1)  # padded tokens that may join before one decoding step
    queue_segments: int = Field(default=2048, ge=1)  # of a model; more is answered 503
    queue_tokens: int = Field(default=131_072, ge=1)

    max_body_bytes: int = Field(default=1_000_000, ge=1)
    max_texts: int = Field(default=256, ge=1)  # in one request
    max_text_characters: int = Field(default=20_000, ge=1)  # in one text
    request_timeout_seconds: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    drain_timeout_seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)  # for what is admitted
