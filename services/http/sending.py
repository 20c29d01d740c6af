"""`POST /v1/commands/{type}`: any command, with the same JSON object as on Kafka."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import orjson
from starlette.requests import Request
from starlette.responses import Response

from events.log import Recorded
from projections.asking import BadQuery, value
from services.accounts.checking import CheckPaymentMethod
from services.accounts.tokenizing import TokenizePaymentMethod
from services.accounts.verifying import VerifyMicroDeposits
from services.commands import COMMAND_BYTES_MAX, COMMANDS, TYPES, Command, decode
from services.door import FINAL, Door, Reply
from services.errors import Rejected, Undecodable
from services.http.bodies import bounded
from services.http.gate import Gate
from services.http.problems import problem
from services.subjects import RULES

WAIT_SECONDS_MAX = 30.0

DryRun = Callable[[Command, int], Any]


class Sending:
    """Takes commands over HTTP; answers with the verdict, or 202 and where to ask for it."""

    def __init__(self, door: Door, dry_run: DryRun, wait_seconds: float, gate: Gate) -> None:
        self._door, self._dry_run, self._wait_seconds, self._gate = door, dry_run, wait_seconds, gate

    async def post(self, request: Request) -> Response:
        body = await _body(request)
        type = request.path_params["type"]
        sender = await self._gate.sender(request, type, body.get("tenant_id"), body.get("actor"))
        if sender is not None:
            body["actor"] = sender
        if "account_id" not in body and (home := _implied_home(type, body)):
            body["account_id"] = home
        if body.get("dry_run") is True or request.query_params.get("dry_run") == "true":
            body["dry_run"] = True
            return _json(await self._tried(decode(type, _encoded(body)), _plan_after(request)))
        reply = await self._door.send(type, _encoded(body), self._wait_seconds, _preferred(request))
        return answer(reply)

    async def _tried(self, command: Command, plan_after: int) -> Any:
        try:
            return await self._dry_run(_accepted(command), plan_after)
        except Rejected as rejected:
            await self._gate.keep_of(command, rejected)
            raise


def answer(reply: Reply) -> Response:
    """200 accepted; the rejection's own status; 402 declined; 202 with a status URL while unknown."""
    location = {"location": f"/v1/commands/{reply.command_id}"}
    if reply.verdict is None:
        return _json({"command_id": reply.command_id, "status": "PENDING"}, 202, location)
    shown = verdict_json(reply.verdict) | {"replayed": reply.replayed}
    if reply.verdict.status == "PARKED":
        return _json(shown, 202, location)
    if reply.verdict.status == "REJECTED":
        outcome = reply.outcome
        return problem(
            outcome["code"],
            outcome["message"],
            field=outcome.get("field"),
            details={
                **outcome.get("details", {}),
                "command_id": str(reply.command_id),
                "replayed": reply.replayed,
            },
        )
    return _with_gateway(shown, reply, location)


def verdict_json(verdict: Any) -> dict[str, Any]:
    return {
        "command_id": verdict.command_id,
        "type": verdict.type,
        "status": verdict.status,
        "position": verdict.position,
        "recorded_at": verdict.recorded_at,
        **orjson.loads(verdict.outcome),
    }


_PROVING = {TYPES[each] for each in (TokenizePaymentMethod, VerifyMicroDeposits, CheckPaymentMethod)}


def _with_gateway(shown: dict[str, Any], reply: Reply, location: dict[str, str]) -> Response:
    if not reply.gateway:
        return _json(shown, 200, location)
    shown["gateway"] = [_call(event) for event in reply.gateway]
    if any(event.topic not in FINAL for event in reply.gateway):
        return _json(shown | {"status": "PENDING"}, 202, location)
    declined = [call for call in shown["gateway"] if call["result_code"] != "Success"]
    if declined:
        details = {**declined[0], "command_id": str(reply.command_id)}
        if shown["type"] in _PROVING:
            return problem("TOKENIZATION_DECLINED", "the gateway does not keep it", details=details)
        return problem("PAYMENT_DECLINED", "the gateway declined it", details=details)
    return _json(shown, 200, location)


def _call(event: Recorded) -> dict[str, Any]:
    outcome = orjson.loads(event.data).get("outcome") or {}
    kept = ("result_code", "category", "hard", "raw_code", "raw_message", "gateway_ref")
    return {"stream": event.stream, **{name: outcome.get(name) for name in kept}}


async def _body(request: Request) -> dict[str, Any]:
    raw = await bounded(request, COMMAND_BYTES_MAX)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Undecodable("MALFORMED_REQUEST", f"this is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise Undecodable("MALFORMED_REQUEST", "a command is one JSON object")
    key = request.headers.get("idempotency-key")
    if key and body.get("idempotency_key", key) != key:
        raise Rejected("MALFORMED_REQUEST", "two different idempotency keys", field="idempotency_key")
    if key:
        body["idempotency_key"] = key
    if not body.get("idempotency_key") and not body.get("command_id"):
        body["command_id"] = str(uuid4())
    return body


def _implied_home(type: str, body: dict[str, Any]) -> str | None:
    """The `account_id` of a command to a tenant-level stream, which its data tells; of others, None."""
    known = COMMANDS.get(type)
    home = RULES[known.cls].home if known else None
    if home is None:
        return None
    command = _accepted(decode(type, _encoded({**body, "account_id": "~"})))
    return home(command.data, command.tenant)


def _encoded(body: dict[str, Any]) -> bytes:
    """What was read may be nested more deeply than can be written."""
    try:
        return orjson.dumps(body)
    except TypeError as error:  # of which orjson's own is one
        raise Undecodable("MALFORMED_REQUEST", f"this is no command: {error}") from error


def _accepted(command: Command) -> Command:
    if isinstance(command.data, Rejected):
        raise command.data
    return command


def _plan_after(request: Request) -> int:
    """Of a run's plan: the place behind which its items are decided.  Raises `BadQuery`."""
    text = request.query_params.get("plan_after", "0")
    after = value("int", text, "plan_after")
    if after < 0:
        raise BadQuery("plan_after", "a place is 0 or more")
    return after


def _preferred(request: Request) -> float:
    """Seconds of `Prefer: wait=N` (RFC 7240), at most `WAIT_SECONDS_MAX`."""
    for preference in request.headers.get("prefer", "").split(","):
        name, _, value = preference.strip().partition("=")
        if name == "wait" and value.isdigit():
            return min(float(value), WAIT_SECONDS_MAX)
    return 0.0


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(content, default=str), status, headers, "application/json")
