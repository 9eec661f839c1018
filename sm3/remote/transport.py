"""How the client speaks HTTP: what all its calls go through."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from sm3.remote.bearer import Bearer
from sm3.remote.errors import Unreachable, check
from sm3.remote.settings import ClientSettings

Model = TypeVar("Model", bound=BaseModel)
JSON = {"Content-Type": "application/json"}


class Transport:
    """Speaks with one service; every method raises `Unreachable` or `ServiceError`.

    Args:
        url: the service's address, such as ``http://127.0.0.1:8000``.
        token: bearer token; '' sends none.
        timeout_s: how long an answer may take, in seconds.
    """

    def __init__(self, url: str, token: str = "", *, timeout_s: float = 10.0) -> None:
        self.url = url.rstrip("/")
        # The environment's proxies are not for a service that is, as a rule, on this machine.
        self._http = httpx.Client(
            base_url=self.url, auth=Bearer(lambda: token), timeout=timeout_s, trust_env=False
        )

    @classmethod
    def from_settings(cls, settings: ClientSettings | None = None) -> Self:
        """Returns a client for the service that ``settings`` (default: the environment) name."""
        settings = settings or ClientSettings()
        client = cls(settings.url)
        client._http.auth = Bearer(settings.bearer)  # which looks again after a 401
        return client

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connections."""
        self.close()

    def _get(self, path: str, model: type[Model], **query: Any) -> Model:
        given = {key: value for key, value in query.items() if value is not None}
        return self._read(self._request("GET", path, params=given), model)

    def _post(
        self,
        path: str,
        model: type[Model],
        body: BaseModel | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Model:
        content = body.model_dump_json() if body is not None else None
        return self._read(
            self._request("POST", path, content=content, headers=JSON | dict(headers or {})), model
        )

    def _delete(self, path: str, model: type[Model]) -> Model:
        return self._read(self._request("DELETE", path), model)

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise Unreachable(self.url, error) from error
        check(response)
        return response

    def _download(self, path: str, target: BinaryIO, **arguments: Any) -> int:
        """Writes the body of an answer to ``target`` as it comes; returns how many bytes."""
        size_bytes = 0
        try:
            with self._http.stream("GET", path, **arguments) as response:
                if response.is_error:
                    response.read()
                check(response)
                for piece in response.iter_bytes():
                    size_bytes += target.write(piece)
        except httpx.TransportError as error:
            raise Unreachable(self.url, error) from error
        return size_bytes

    def _read(self, response: httpx.Response, model: type[Model]) -> Model:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise Unreachable(self.url, f"its answer is not that of an SM3 Scope service: {error}") from error
