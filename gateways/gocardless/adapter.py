"""The GoCardless adapter: its library blocks, so each call has a thread, and one request is all it sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson
import requests
from gocardless_pro import errors, services, webhooks
from gocardless_pro.api_client import ApiClient

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.shapes import Outcome
from gateways.blocking import Threads, failed, send
from gateways.credentials import Credential, CredentialMissing
from gateways.gocardless import translation as words
from gateways.gocardless.news import read
from gateways.outcomes import (
    UNREADABLE,
    careful,
    not_sent,
    of_status,
    seconds,
    unknown,
    unreadable,
    unsupported,
)
from gateways.protocol import InvalidSignature, Notification

LIVE, SANDBOX = "https://api.gocardless.com", "https://api-sandbox.gocardless.com"
PAGES_MAX = 10


class GoCardlessAdapter:
    """Settings: `mode` (LIVE, else the sandbox), `base_url` (else GoCardless's own), and
    `webhook_secret_ref` where the credential is one text."""

    def __init__(
        self,
        settings: Mapping[str, str],
        connect_timeout_ms: int,
        read_timeout_ms: int,
        credential: Credential,
    ) -> None:
        self._settings, self._credential = settings, credential
        self._url = settings.get("base_url") or (LIVE if settings.get("mode") == "LIVE" else SANDBOX)
        self._timeout = (connect_timeout_ms / 1000, read_timeout_ms / 1000)
        self._threads = Threads("gocardless")

    def __repr__(self) -> str:
        return f"GoCardlessAdapter({self._credential!r})"

    @property
    def capabilities(self) -> Capabilities:
        return words.CAPABILITIES

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        """Carry out one operation under its idempotency key."""
        if request.operation not in words.CAPABILITIES.operations:
            return unsupported(request.operation, "GoCardless")
        told = await self._threads.run(lambda: _told(lambda: self._ask(request)))
        return careful(told, self._credential)

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        """What stands under the mandate or the payment with this key in its metadata."""
        found = await self._threads.run(lambda: self._inquire(request))
        return found and careful(found, self._credential)

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> list[Notification]:
        signature = {name.lower(): value for name, value in headers.items()}.get("webhook-signature", "")
        try:
            webhooks.parse(body, self._webhook_secret(), signature)
        except CredentialMissing as missing:
            raise InvalidSignature(str(missing)) from None
        except (errors.InvalidSignatureError, ValueError, KeyError, TypeError):
            raise InvalidSignature("the signature is not GoCardless's") from None
        return [news for event in orjson.loads(body)["events"] if (news := read(event))]

    async def close(self) -> None:
        self._threads.close()

    def _ask(self, request: GatewayCallPlanned) -> Outcome:
        headers = {"Idempotency-Key": request.idempotency_key}
        match request.operation:
            case "SALE":
                made = self._service(services.PaymentsService).create(words.payment(request), headers)
                outcome = words.of_payment(made.attributes)
                return words.matching(outcome, made.attributes, request.amount)
            case "REFUND":
                made = self._service(services.RefundsService).create(words.refund(request), headers)
                outcome = words.of_refund(made.attributes)
                return words.matching(outcome, made.attributes, request.amount)
            case "VOID":
                made = self._service(services.PaymentsService).cancel(request.payment_ref, headers=headers)
                canceled = words.of_cancellation(made.attributes, request.amount)
                return canceled or unknown(made.attributes["status"])
            case _:
                made = self._service(services.MandatesService).create(words.mandate(request), headers)
                return words.of_mandate(made.attributes)

    def _inquire(self, request: GatewayCallPlanned) -> Outcome | None:
        try:
            return self._find(request)
        except CredentialMissing as missing:
            return unknown(str(missing))
        except (requests.RequestException, errors.GoCardlessProError, _Busy, *UNREADABLE) as lost:
            return unknown(f"the inquiry failed: {type(lost).__name__}")

    def _find(self, request: GatewayCallPlanned) -> Outcome | None:
        match request.operation:
            case "SALE" if request.method:
                made = self._with_key(
                    services.PaymentsService, {"mandate": request.method.token_ref}, request.idempotency_key
                )
                return words.of_payment(made) if made else None
            case "REFUND":
                made = self._with_key(
                    services.RefundsService, {"payment": request.payment_ref}, request.idempotency_key
                )
                return words.of_refund(made) if made else None
            case "VOID":
                made = self._service(services.PaymentsService).get(request.payment_ref)
                return words.of_cancellation(made.attributes, request.amount)
            case _:
                return unknown(f"GoCardless cannot be asked about {request.operation}")

    def _with_key(self, service: Any, under: Mapping[str, Any], key: str) -> dict[str, Any] | None:
        after: dict[str, Any] = {}
        for _ in range(PAGES_MAX):
            page = self._service(service).list({**under, "limit": 500, **after})
            for made in page.records:
                if (made.attributes.get("metadata") or {}).get(words.KEY) == key:
                    return made.attributes
            if not page.after:
                return None
            after = {"after": page.after}
        raise errors.GoCardlessProError(f"more than {PAGES_MAX} pages")

    def _service(self, service: Any) -> Any:
        """One attempt each; of a key that was used before, what it made is fetched."""
        timeout: Any = self._timeout  # requests takes both in a pair
        client = _Client(self._url, self._credential.secret(), timeout)
        return service(client, max_network_retries=1, retry_delay_in_seconds=0)

    def _webhook_secret(self) -> str:
        ref = self._settings.get("webhook_secret_ref")
        return Credential(ref).secret() if ref else self._credential.secret("webhook_secret")


class _Busy(Exception):
    """Too many requests: none of this one was carried out."""

    def __init__(self, retry_after_seconds: int | None) -> None:
        super().__init__()
        self.retry_after_seconds = retry_after_seconds


class _Client(ApiClient):
    """The library's client, without redirections, and with an end to answers."""

    def get(self, path: str, params: Any = None, headers: Any = None) -> requests.Response:
        return self._sent("GET", path, headers, params=params)

    def post(self, path: str, body: Any, headers: Any = None) -> requests.Response:
        return self._sent("POST", path, headers, data=orjson.dumps(body))

    def _sent(self, method: str, path: str, headers: Any, **told: Any) -> requests.Response:
        given = self._headers(headers)
        response = send(method, self._url_for(path), headers=given, timeout=self.timeout, **told)
        if response.status_code == 429:
            raise _Busy(seconds(response.headers.get("retry-after")))
        if 300 <= response.status_code < 400:
            raise errors.GoCardlessProError(f"HTTP {response.status_code}")
        self._handle_errors(response)
        return response


def _told(ask: Callable[[], Outcome]) -> Outcome:
    """Every way that a call can end, as an outcome."""
    try:
        return ask()
    except CredentialMissing as missing:
        return not_sent(str(missing))
    except _Busy as busy:
        return not_sent("HTTP 429", busy.retry_after_seconds)
    except requests.RequestException as error:
        return failed(error)
    except errors.MalformedResponseError as broken:
        return of_status(broken.status_code or 0, "no JSON") or unknown(f"HTTP {broken.status_code}: no JSON")
    except errors.ApiError as error:
        told: Any = error.error if isinstance(error.error, dict) else {}
        code = told.get("code")
        return of_status(code if isinstance(code, int) else 500, told.get("type") or "") or words.of_error(
            told
        )
    except errors.GoCardlessProError as error:
        return unknown(str(error))
    except UNREADABLE as error:
        return unreadable(error)
