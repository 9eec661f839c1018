"""From the environment to an open service, or one sentence on why not."""

from __future__ import annotations

from importlib.metadata import version

import structlog
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from server.problems import faults
from server.service import Service
from server.settings import Settings
from sm3.remote.settings import unknown_variables
from sm3.remote.wire import FieldFault

_LOG = structlog.get_logger("server.startup")


class CannotStart(Exception):  # noqa: N818 - reads as what it is
    """Something that a person has to change first; the message is one sentence."""


def read_settings() -> Settings:
    """Returns the settings in the environment. Raises `CannotStart`, naming each that is not allowed."""
    try:
        return Settings()
    except ValidationError as error:
        raise CannotStart("; ".join(map(_setting, faults(error.errors())))) from error


def warn_of_unknown_variables() -> None:
    """Logs each ``SM3_*`` variable that sets nothing, with the name that was probably meant."""
    for variable in unknown_variables(Settings.model_fields):
        _LOG.warning("unknown setting", variable=variable.name, told=str(variable))


def open_service(settings: Settings) -> Service:
    """Returns a service with its store open. Raises `CannotStart` if the store cannot be opened."""
    try:
        return Service.open(settings)
    except CommandError as error:
        raise CannotStart(
            f"the store was written by a newer version, whose schema this one ({version('sm3-scope')}) does not know "
            f"({error}). Install that version, or restore a backup that this one made into another SM3_DATA_DIR."
        ) from error
    except (OSError, ValueError, SQLAlchemyError) as error:
        reason = getattr(error, "orig", None) or error
        if settings.database_url:
            raise CannotStart(
                f"the store at {_without_password(settings.database_url)} cannot be opened: {reason}. Start the "
                "database, or set SM3_DATABASE_URL to where it is."
            ) from error
        raise CannotStart(
            f"the store in {settings.data_dir} cannot be opened: {reason}. Make room or rights, or set SM3_DATA_DIR "
            "(or SM3_DATABASE_URL) to another place."
        ) from error


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return "SM3_DATABASE_URL (which is no URL)"


def _setting(fault: FieldFault) -> str:
    if fault.field == "body":  # about several settings together: the text says which
        return fault.allowed
    return f"SM3_{fault.field.upper()}: given {fault.given!r}; allowed: {fault.allowed}"
