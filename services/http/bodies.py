"""A request's body, read no further than it may go, whatever the sender says that it sends."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request

from services.errors import Rejected, Undecodable


async def bounded(request: Request, bytes_max: int) -> bytes:
    """Raises `BODY_TOO_LARGE`, and `MALFORMED_REQUEST` where the sender breaks off."""
    parts, size = list[bytes](), 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > bytes_max:
                raise Undecodable("BODY_TOO_LARGE", f"a body has at most {bytes_max} bytes here")
            parts.append(part)
    except ClientDisconnect:
        raise Rejected("MALFORMED_REQUEST", "the body broke off") from None
    return b"".join(parts)
