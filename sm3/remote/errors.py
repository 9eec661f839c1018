"""What speaking with the service can raise."""

from __future__ import annotations

import httpx
from pydantic import ValidationError

from sm3.remote.wire import Problem


class RemoteError(Exception):
    """Base of what speaking with the service can raise."""


class Unreachable(RemoteError):  # noqa: N818 - reads as what it is
    """The service did not answer."""

    def __init__(self, url: str, error: object) -> None:
        super().__init__(
            f"The service at {url} does not answer ({error}). Start it with `sm3 up`, or set SM3_URL to where it is."
        )


class ServiceError(RemoteError):
    """The service refused; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


def check(response: httpx.Response) -> None:
    """Raises `ServiceError` if ``response``, whose body has been read, is an error."""
    if not response.is_error:
        return
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        problem = Problem(
            type="about:blank",
            title=response.reason_phrase,
            status=response.status_code,
            detail=f"HTTP {response.status_code} {response.reason_phrase}",
        )
    raise ServiceError(problem)
