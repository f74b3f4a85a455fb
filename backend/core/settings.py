"""Settings of the service, from the environment and `.env`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from charaforge.config.settings import safety_filter
from charaforge.errors import UsageError
from charaforge.warehouse.registry import Registry

MIN_TOKEN = 32  # characters


class Settings(BaseSettings):
    """What the owner of the service can set; `.env.example` describes each."""

    model_config = SettingsConfigDict(frozen=True)

    api_cors_origins: str = Field("", description="origins that browsers may call from, comma-separated")
    api_token: SecretStr = Field(
        SecretStr(""), description="who knows it is served; empty: this machine only"
    )
    api_allowed_hosts: str = Field("", description="names that the service is reached by, comma-separated")
    api_input_roots: str = Field("", description="folders that requests may name files in, comma-separated")
    api_sdapi: bool = Field(False, description="whether A1111's /sdapi/v1 is offered too")
    redis_url: str = Field("", description="broker; empty: a local Redis if it answers, else none")

    @property
    def origins(self) -> list[str]:
        """The origins as a list."""
        return [origin.rstrip("/") for origin in _parts(self.api_cors_origins)]

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """The host names, lower case."""
        return frozenset(name.lower() for name in _parts(self.api_allowed_hosts))

    @property
    def input_roots(self) -> tuple[Path, ...]:
        """The folders, absolute."""
        return tuple(Path(part).expanduser().absolute() for part in _parts(self.api_input_roots))

    def token(self) -> str:
        """Return the token, "" where none is set.

        Raises:
            UsageError: it is shorter than MIN_TOKEN.
        """
        token = self.api_token.get_secret_value().strip()
        if token and len(token) < MIN_TOKEN:
            raise UsageError(
                f"API_TOKEN has {len(token)} characters; at least {MIN_TOKEN} are needed",
                "make one, for example: openssl rand -hex 32",
            )
        return token


def check_safety(registry: Registry) -> None:
    """Raise UsageError where `API_SAFETY` asks for a checker that is not there.

    Pictures that were to be looked at must not go out unseen, nor fail one by one.
    """
    asked = safety_filter()
    there = [entry.name for entry in registry.list("safety")]
    if asked is False or asked in there or (asked is True and there):
        return
    folder = registry.warehouse.kind_folders["safety"][0]
    what = "there is no safety checker" if asked is True else f"{asked!r} is neither on, off nor a checker"
    raise UsageError(
        f"API_SAFETY={'on' if asked is True else asked}, but {what}",
        f"put one into {folder} (there: {', '.join(there) or 'none'}), or set API_SAFETY=off",
    )


def _parts(text: str) -> list[str]:
    return [part for raw in text.split(",") if (part := raw.strip())]
