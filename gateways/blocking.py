"""Runs SDKs that block, in threads of their own, so that the event loop never waits for them.

As many calls at a time as there are threads; more wait their turn before anything is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, SSLError

from events.shapes import Outcome
from gateways.http import ANSWER_BYTES_MAX
from gateways.outcomes import not_sent, unknown

T = TypeVar("T")

THREADS = 64


class Threads:
    def __init__(self, name: str, most: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(most, thread_name_prefix=name)

    async def run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


class AnswerTooLong(requests.RequestException):
    pass


def send(method: str, url: str, **told: Any) -> requests.Response:
    """One request, which no redirection takes elsewhere, and an answer that has an end."""
    with requests.Session() as session:
        response = session.request(method, url, allow_redirects=False, stream=True, **told)
        body = bytearray()
        for part in response.iter_content(65_536):
            body += part
            if len(body) > ANSWER_BYTES_MAX:
                response.close()
                raise AnswerTooLong(f"the answer is longer than {ANSWER_BYTES_MAX} bytes")
        response._content = bytes(body)  # type: ignore[attr-defined]  # what `content` gives back
        return response


def failed(error: requests.RequestException) -> Outcome:
    """What a failure of `requests` tells: not sent only where no connection ever stood."""
    if isinstance(error, requests.ConnectTimeout | requests.exceptions.SSLError):
        return not_sent(f"not reached: {type(error).__name__}")
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, NewConnectionError | ConnectTimeoutError | SSLError):
        return not_sent(f"not reached: {type(reason).__name__}")
    return unknown(type(error).__name__)
