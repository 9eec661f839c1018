"""The OpenAPI document: what FastAPI makes of the routes, and what each of them needs of its caller."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts

from server.auth import Needs

_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token of scope `view`, `launch` or `admin`; each may also do what those before it may. "
        "`sm3 token` prints the admin token on the service's machine, `sm3 token create` makes others.",
    },
    "worker": {
        "type": "http",
        "scheme": "bearer",
        "description": "The token that a job's worker was started with: good for its job's current attempt.",
    },
}


def install(app: FastAPI) -> None:
    """Adds security schemes, and what each operation needs, to the document of ``app``."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            document.setdefault("components", {})["securitySchemes"] = _SCHEMES
            for route in routes(app):
                for method in route.methods or ():
                    operation = document["paths"].get(route.path, {}).get(method.lower())
                    if operation is not None:
                        _describe(operation, needs_of(route))
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def routes(app: FastAPI) -> list[RouteContext]:
    """Returns every route of ``app``, those of included routers too."""
    return list(iter_route_contexts(app.routes))


def needs_of(route: RouteContext) -> Needs | None:
    """Returns what a route needs of its caller, None where everyone may call it."""
    dependencies = route.dependant.dependencies if hasattr(route, "dependant") else ()
    found = [dependency.call for dependency in dependencies if isinstance(dependency.call, Needs)]
    return found[-1] if found else None


def _describe(operation: dict[str, Any], needed: Needs | None) -> None:
    if needed is None:
        operation["security"] = []
        text = "Needs no token."
    else:
        operation["security"] = [{"token": [needed.scope.value]}]
        text = f"Needs a token of scope `{needed.scope.value}`."
        if needed.or_worker:
            operation["security"].append({"worker": []})
            text = f"{text[:-1]}, or that of the job's own worker."
    operation["description"] = "\n\n".join(filter(None, (operation.get("description", ""), text)))
