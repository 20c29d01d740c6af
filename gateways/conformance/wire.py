"""An HTTP server that pretends to be a gateway, and fails in every way that a network can.

A fault that is put into `faults` meets the next request.  It says whether the gateway had carried the
request out before the line failed; what it answers otherwise is the rig's.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

ENDLESS_BYTES = 48 * 1024 * 1024
"""How much of an answer without end is sent, unless whoever reads it stops before."""
HANG_SECONDS = 10.0


class Asked(NamedTuple):
    """One request as it arrived; header names in lower case, the query still in the path."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Answer(NamedTuple):
    status: int
    body: Any = None
    """Sent as JSON; bytes are sent as they are."""
    headers: dict[str, str] = {}


OK = Answer(200)


@dataclass(frozen=True)
class Fault:
    """`kind`: ANSWER (the given one), HANG (no byte ever comes), HANG_UP, HALF (an answer that breaks off)
    or ENDLESS (an answer that does not stop)."""

    kind: str
    answer: Answer = OK
    executed: bool = False


@dataclass
class PretendServer:
    answer: Callable[[Asked], Answer]
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    pushed: int = 0
    """Bytes of an endless answer that went out."""
    broken: list[BaseException] = field(default_factory=list)
    """What the rig raised: a mistake of its author's, never of the adapter's."""

    def __post_init__(self) -> None:
        self._lock, self._over = threading.Lock(), threading.Event()

    def handle(self, asked: Asked) -> Fault:
        """What happens to a request; without a fault, an answer."""
        with self._lock:
            self.asked.append(asked)
            fault = self.faults.pop(0) if self.faults else None
            if fault and not fault.executed:
                return fault
            try:
                answer = self.answer(asked)
            except Exception as error:
                self.broken.append(error)
                answer = Answer(500)
            return fault or Fault("ANSWER", answer)

    def wait_until_over(self) -> None:
        self._over.wait(HANG_SECONDS)

    def let_go(self) -> None:
        self._over.set()


@contextmanager
def serving(answer: Callable[[Asked], Answer]) -> Iterator[PretendServer]:
    """The server on a free port of loopback, gone at the end."""
    pretend = PretendServer(answer)

    class Handler(_Handler):
        server_of = pretend

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Whoever asked has gone: that is a part of the play."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    pretend.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield pretend
    finally:
        pretend.let_go()
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def full_queue() -> Iterator[str]:
    """A place where nobody takes up: connections to it neither succeed nor fail."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(listening.getsockname())
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            for one in waiting:
                one.close()


def closed_port() -> str:
    """A place where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: PretendServer

    def serve(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = self.server_of.handle(Asked(self.command, self.path, headers, self.rfile.read(length)))
        match fault.kind:
            case "HANG":
                self.server_of.wait_until_over()
                self._hang_up()
            case "HANG_UP":
                self._hang_up()
            case "HALF":
                self._begin(Answer(200), 1000)
                self.wfile.write(b'{"status": "succ')
                self._hang_up()
            case "ENDLESS":
                self._endless()
            case _:
                body = _bytes(fault.answer.body)
                self._begin(fault.answer, len(body))
                self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = serve

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _begin(self, answer: Answer, length: int) -> None:
        self.send_response(answer.status)
        for name, value in {"content-type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(length))
        self.end_headers()

    def _endless(self) -> None:
        self._begin(Answer(200), 1 << 40)
        chunk = b" " * 65_536
        self.close_connection = True
        with suppress(OSError):
            while self.server_of.pushed < ENDLESS_BYTES:
                self.wfile.write(chunk)
                self.server_of.pushed += len(chunk)

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _bytes(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return b"" if body is None else json.dumps(body).encode()
