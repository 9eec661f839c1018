"""Where the service is and how to prove who we are: the only place of the library that reads the environment."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sm3.remote import token_file


def default_data_dir() -> Path:
    """Returns the folder of the service's store, token and logs for this user."""
    return user_data_path("sm3-scope")


class ClientSettings(BaseSettings):
    """Settings of everything that speaks with the service, from ``SM3_*`` environment variables."""

    model_config = SettingsConfigDict(env_prefix="SM3_", extra="ignore")

    url: str = Field("http://127.0.0.1:8000", description="the service's address")
    token: str = Field(
        "", repr=False, description="bearer token; empty: read from the token file of the data folder"
    )
    data_dir: Path = Field(default_factory=default_data_dir, description="the service's data folder")
    viewer_token: str = Field(
        "", repr=False, description="token that viewers who signed in by OIDC act with; empty: none may"
    )
    viewers: tuple[str, ...] = Field(
        (), description="e-mail addresses or @domains that may sign in by OIDC; empty: all the provider knows"
    )
    public_url: str = Field("", description="the service's address as a browser sees it; empty: page's host")

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    def bearer(self) -> str:
        """Returns the token given, or the one in the data folder, or '' where neither is there."""
        return self.token or token_file.read(self.data_dir)
