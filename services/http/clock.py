"""What time it is here, and moving it ahead: `/v1/clock`, for who runs this deployment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from services.clock import Clock
from services.errors import Rejected
from services.http.bodies import bounded
from services.http.reads import answer_json
from services.moving_time import MovingTime, instant_of

BODY_BYTES_MAX = 4096
WHY_NOT = (
    "time moves only where PostgreSQL, Kafka and the gateway simulator are the embedded ones: "
    "start `tender up` without servers of your own"
)


class ClockFace:
    """`moving` is None where nobody moves time."""

    def __init__(self, clock: Clock, moving: MovingTime | None) -> None:
        self._clock, self._moving = clock, moving

    async def show(self, request: Request) -> Response:
        return answer_json(self.told())

    async def advance(self, request: Request) -> Response:
        """`{"by": "3d"}` or `{"to": "2026-12-01"}`: 202, and where it has come to is asked for."""
        moving = self._movable()
        asked = _object(await bounded(request, BODY_BYTES_MAX))
        await moving.move(instant_of(asked.get("by"), asked.get("to"), self._clock.now()))
        return answer_json(self.told(), 202)

    async def stop(self, request: Request) -> Response:
        """Stay where time has come to."""
        self._movable().stop()
        return answer_json(self.told())

    def told(self) -> dict[str, Any]:
        now = self._clock.now()
        moving = self._moving
        return {
            "now": _text(now),
            "ahead_seconds": round(moving.time.ahead.total_seconds()) if moving else 0,
            "movable": moving is not None,
            "moving_to": _text(moving.time.target) if moving and moving.time.target else None,
            "waits_for": moving.waits_for if moving else {},
        }

    def _movable(self) -> MovingTime:
        if self._moving is None:
            raise Rejected("CLOCK_NOT_MOVABLE", WHY_NOT)
        return self._moving


def _object(body: bytes) -> dict[str, Any]:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        asked = None
    if not isinstance(asked, dict):
        raise Rejected("MALFORMED_REQUEST", "send a JSON object with `by` or `to`")
    if unknown := asked.keys() - {"by", "to"}:
        raise Rejected("UNKNOWN_FIELD", f"there is no {min(unknown)}", field=str(min(unknown)))
    return asked


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
