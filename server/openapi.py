"""The OpenAPI document: what FastAPI makes of the routes, and what each of them needs of its caller."""

from __future__ import annotations

from collections.abc import Iterator
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
            schemas = document["components"].setdefault("schemas", {})
            _lift_definitions(document, schemas)
            _require_tags(document, schemas)
            _forbid_null_parameters(document)
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


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yields every object in a document; examples too, which have none of the keys that are looked for."""
    if isinstance(node, dict):
        yield node
        for value in list(node.values()):
            yield from _nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value)


def _lift_definitions(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Moves the definitions of schemas that routes give by hand to where references find them."""
    for node in list(_nodes(document["paths"])):
        if isinstance(definitions := node.get("$defs"), dict):
            del node["$defs"]
            for name, schema in definitions.items():
                schemas.setdefault(name, schema)
    for node in _nodes(document):
        if isinstance(reference := node.get("$ref"), str) and reference.startswith("#/$defs/"):
            node["$ref"] = reference.replace("#/$defs/", "#/components/schemas/")


def _require_tags(document: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Makes the tag that tells the members of a union apart a required field of each, as it is in requests."""
    for node in list(_nodes(document)):
        tagged = node.get("discriminator")
        if isinstance(tagged, dict):
            for reference in tagged.get("mapping", {}).values():
                schema = schemas.get(reference.rpartition("/")[2], {})
                required = schema.setdefault("required", [])
                if tagged["propertyName"] not in required:
                    required.append(tagged["propertyName"])


def _forbid_null_parameters(document: dict[str, Any]) -> None:
    """Says of optional parameters what they are when they are there: an address or a header holds no null."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                schema = parameter["schema"]
                kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
                if len(kinds) == 1:
                    del schema["anyOf"]
                    parameter["schema"] = kinds[0] | schema
