"""A gateway that answers after a fixed time, and does nothing else: `python -m services.bench.answering MS`.

It speaks the simulator's protocol, approves everything, keeps nothing, and prints its port.  What it sees
at most in the air at a time is told at `/most`.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import httptools
import orjson

from services.running import loop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Answering(asyncio.Protocol):
    in_air = most = 0

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._url, self._body = b"", b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self._url, self._body = url, b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._url == b"/most":
            self._write({"most": Answering.most})
            return
        Answering.in_air += 1
        Answering.most = max(Answering.most, Answering.in_air)
        asyncio.get_running_loop().call_later(self._seconds, self._answer, orjson.loads(self._body))

    def _answer(self, asked: dict[str, Any]) -> None:
        Answering.in_air -= 1
        told = {name: asked[name] for name in ("amount_minor", "currency")}
        self._write({"result": "Success", "ref": asked["idempotency_key"], **told})

    def _write(self, told: dict[str, Any]) -> None:
        body = orjson.dumps(told)
        if not self._transport.is_closing():
            self._transport.write(HEAD % (len(body), body))


async def serve(seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: Answering(seconds), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    loop.run(serve(float(sys.argv[1]) / 1000))
