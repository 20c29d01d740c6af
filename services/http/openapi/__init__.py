"""The OpenAPI 3.1 document, made from the commands and the read models."""

from __future__ import annotations

from typing import Any

from projections.queries import QUERIES
from services.commands import COMMANDS
from services.documents.schemas import of_command
from services.http.openapi.parts import (
    ID,
    MONEY,
    PROBLEM,
    REFERENCE,
    SECURITY,
    TENANT,
    VERDICT,
    ok,
    put_schema,
)
from services.http.openapi.reading import (
    WHYS,
    asked_with,
    drafted_simulation,
    list_path,
    one_path,
    row_schema,
    timeline_path,
    told_paths,
)
from services.http.openapi.writing import (
    MIGRATION,
    NOTIFICATIONS_PATH,
    clock,
    command_path,
    operations,
    verdict_path,
)
from services.subjects import RULES


def openapi() -> dict[str, Any]:
    """Paths of every command and every read model; errors are problem details everywhere."""
    schemas: dict[str, Any] = {"Money": MONEY, "Problem": PROBLEM, "Verdict": VERDICT}
    paths: dict[str, Any] = {"/v1/commands/{command_id}": verdict_path()}
    for type, known in sorted(COMMANDS.items()):
        body = of_command(known, REFERENCE.format(name=type))
        if RULES[known.cls].home:
            body["required"].remove("account_id")
            body["properties"]["account_id"]["description"] = "Follows from `data`, and may be left out."
        put_schema(schemas, type, body)
        paths[f"/v1/commands/{type}"] = command_path(type, (known.cls.__doc__ or "").strip())
    paths["/v1/{tenant}/timeline"] = timeline_path()
    paths |= told_paths()
    paths["/v1/{tenant}/retry-simulation"] |= drafted_simulation(schemas)
    for query in QUERIES.values():
        schemas[query.name] = row_schema(query)
        paths[f"/v1/{{tenant}}/{query.name}"] = list_path(query)
        if len(query.table.key) == 2:
            paths[f"/v1/{{tenant}}/{query.name}/{{id}}"] = one_path(query)
    paths["/v1/{tenant}/gateways/{gateway_id}/notifications"] = NOTIFICATIONS_PATH
    paths["/v1/{tenant}/token-migrations"] |= MIGRATION
    for path, about in WHYS.items():
        parameters = [TENANT, ID, *asked_with(path)]
        paths[path] = {
            "get": {"summary": about, "parameters": parameters, "responses": ok({"type": "object"})}
        }
    paths |= operations() | clock()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tender", "version": "1.0.0", "summary": "Payments and refunds"},
        "paths": paths,
        "security": [{"token": []}, {"api_key": []}, {"api_key_header": []}],
        "components": {"schemas": schemas, "securitySchemes": SECURITY},
    }
