"""`POST /v1/{tenant}/token-migrations`: a file of tokenized methods, as CSV, JSON Lines or JSON.

What is answered is the report on all rows, once all of them are durably on their way.
"""

from __future__ import annotations

import hashlib
import io
from typing import Any, cast
from uuid import uuid4

import orjson
from starlette.requests import Request
from starlette.responses import Response

from services.clock import Clock
from services.commands import TYPES, Actor
from services.errors import Rejected, Undecodable
from services.http.bodies import bounded
from services.http.gate import Gate
from services.importing.methods import Raw, Rows, csv_rows, json_rows
from services.importing.migration import Job, Migration
from services.migrations.token_migration import CreateTokenMigration
from services.store.protocol import Store

UPLOAD_BYTES_MAX = 64 * 1024 * 1024
_MODES = ("INSERT_ONLY", "UPSERT")
_FLAGS = {"true": True, "false": False}


class Migrations:
    def __init__(self, store: Store, clock: Clock, gate: Gate) -> None:
        self._store, self._clock, self._gate = store, clock, gate

    async def post(self, request: Request) -> Response:
        """`job_id`, `mode`, `strict`, `dry_run` and `verify` are parameters, or fields of the JSON object."""
        tenant = request.path_params["tenant"]
        sender = await self._gate.permitted(request, TYPES[CreateTokenMigration], tenant)
        body = await bounded(request, UPLOAD_BYTES_MAX)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        asked: dict[str, Any] = dict(request.query_params)
        rows = _rows(kind, body, asked)
        job = _job(tenant, sender, asked, hashlib.sha256(body).hexdigest())
        migration = Migration(self._store, self._clock, job, rows)
        report = await migration.prepare()
        async for _ in migration.run(all_at_once=True):
            pass
        location = f"/v1/{job.tenant}/token-migrations/{job.job_id}"
        answer = {
            "job_id": job.job_id,
            "rows": report.rows,
            "valid": report.valid,
            "rejected_by_code": report.rejected,
            "warnings": report.warnings,
            "replayed": migration.replayed,
            "status_url": location,
        }
        return Response(orjson.dumps(answer), 202, {"location": location}, "application/json")


def _rows(kind: str, body: bytes, asked: dict[str, Any]) -> Rows:
    """The rows of a body, by its content type; a JSON object's other fields go into `asked`."""
    if kind == "application/json":
        try:
            whole = orjson.loads(body)
            rows = whole.pop("rows")
            assert isinstance(rows, list)
            assert all(isinstance(row, dict) for row in rows)
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, AssertionError) as error:
            raise Undecodable("MALFORMED_REQUEST", "the body must be a JSON object with `rows`") from error
        asked |= whole
        return lambda: cast("list[Raw]", rows)
    text = _text(body)
    if kind == "text/csv":
        return lambda: csv_rows(io.StringIO(text, newline=""))
    if kind in ("application/x-ndjson", "application/jsonl"):
        return lambda: json_rows(io.StringIO(text))
    raise Undecodable("MALFORMED_REQUEST", "send text/csv, application/x-ndjson or application/json")


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Undecodable("MALFORMED_REQUEST", "the body is no UTF-8") from error


def _job(tenant: str, sender: Actor, asked: dict[str, Any], digest: str) -> Job:
    unknown = asked.keys() - {"job_id", "mode", "strict", "dry_run", "source", "verify"}
    if unknown:
        raise Rejected("UNKNOWN_FIELD", f"there is no {min(unknown)}", field=min(unknown))
    mode = asked.get("mode", "UPSERT")
    if mode not in _MODES:
        raise Rejected("MALFORMED_REQUEST", f"a mode is {' or '.join(_MODES)}", field="mode")
    return Job(
        tenant,
        str(asked.get("job_id") or uuid4()),
        sender,
        mode,
        _flag(asked, "strict", True),
        _flag(asked, "dry_run", False),
        asked.get("source"),
        digest,
        _flag(asked, "verify", False),
    )


def _flag(asked: dict[str, Any], name: str, default: bool) -> bool:
    value = asked.get(name, default)
    if isinstance(value, bool):
        return value
    if str(value).lower() not in _FLAGS:
        raise Rejected("MALFORMED_REQUEST", f"{name} is true or false", field=name)
    return _FLAGS[str(value).lower()]
