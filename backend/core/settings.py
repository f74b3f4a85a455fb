"""Settings of the service, from the environment and `.env`."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What the owner of the service can set; `.env.example` describes each."""

    model_config = SettingsConfigDict(frozen=True)

    api_cors_origins: str = Field("", description="origins that browsers may call from, comma-separated")
    redis_url: str = Field("", description="broker; empty: a local Redis if it answers, else none")

    @property
    def origins(self) -> list[str]:
        """The origins as a list."""
        return [origin for part in self.api_cors_origins.split(",") if (origin := part.strip().rstrip("/"))]
