"""The Adyen adapter: its library blocks, so each call has a thread, and one request is all it sends."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

import orjson
import requests
from Adyen import AdyenClient
from Adyen.exceptions import AdyenError
from Adyen.services.checkout.modifications_api import ModificationsApi
from Adyen.services.checkout.payments_api import PaymentsApi
from Adyen.util import generate_notification_sig

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.shapes import Outcome
from gateways.adyen import translation as words
from gateways.adyen.news import read
from gateways.blocking import Threads, failed, send
from gateways.credentials import Credential, CredentialMissing
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
from gateways.units import Uncountable, uncountable

VERSION = "v72"
IN_PROGRESS = "704"
"""The key was, or is being, processed: its outcome is not known here."""


class AdyenAdapter:
    """Settings: `merchant_account`, `mode` (LIVE or not), `live_endpoint_prefix` for LIVE, `base_url`
    (else Adyen's own), `return_url`, and `hmac_key_ref` where the credential is one text."""

    def __init__(
        self,
        settings: Mapping[str, str],
        connect_timeout_ms: int,
        read_timeout_ms: int,
        credential: Credential,
    ) -> None:
        self._settings, self._credential = settings, credential
        self._merchant_account = settings["merchant_account"]
        self._timeout = (connect_timeout_ms / 1000, read_timeout_ms / 1000)
        self._threads = Threads("adyen")

    def __repr__(self) -> str:
        return f"AdyenAdapter({self._credential!r})"

    @property
    def capabilities(self) -> Capabilities:
        return words.CAPABILITIES

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        """Carry out one operation under its idempotency key."""
        if request.operation not in words.CAPABILITIES.operations:
            return unsupported(request.operation, "Adyen")
        return careful(await self._threads.run(lambda: self._told(request)), self._credential)

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        return unknown("Adyen answers no inquiries: its notification tells what became of it")

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> list[Notification]:
        """Every item of a delivery is signed by itself; one that is not ours spoils all."""
        try:
            items = [each["NotificationRequestItem"] for each in orjson.loads(body)["notificationItems"]]
        except (ValueError, KeyError, TypeError):
            raise InvalidSignature("this is no delivery of Adyen's") from None
        for item in items:
            self._verify(item)
        return [news for item in items if (news := read(item))]

    async def close(self) -> None:
        self._threads.close()

    def _verify(self, item: Mapping[str, Any]) -> None:
        given = (item.get("additionalData") or {}).get("hmacSignature", "")
        try:
            ours = generate_notification_sig(dict(item), self._hmac_key()).decode()
        except CredentialMissing as missing:
            raise InvalidSignature(str(missing)) from None
        except (KeyError, TypeError):
            raise InvalidSignature("the notification lacks what is signed") from None
        if not hmac.compare_digest(ours.encode(), str(given).encode()):
            raise InvalidSignature("the signature is not Adyen's")

    def _told(self, request: GatewayCallPlanned) -> Outcome:
        try:
            return self._ask(request)
        except CredentialMissing as missing:
            return not_sent(str(missing))
        except requests.RequestException as error:
            return failed(error)
        except AdyenError as error:
            return _of(error)
        except Uncountable as error:
            return uncountable(error)
        except UNREADABLE as error:
            return unreadable(error)

    def _ask(self, request: GatewayCallPlanned) -> Outcome:
        client, key = self._client(), request.idempotency_key
        if request.operation in ("AUTHORIZE", "SALE", "TOKENIZE"):
            return_url = self._settings.get("return_url", "https://localhost/returned")
            told = words.payment(request, self._merchant_account, return_url)
            answer = self._at(PaymentsApi(client)).payments(told, key)
            return words.of_payment(answer.message or {}, request)
        modifications, told = (
            self._at(ModificationsApi(client)),
            words.modification(request, self._merchant_account),
        )
        match request.operation:
            case "CAPTURE":
                answer = modifications.capture_authorised_payment(told, request.authorization_ref, key)
            case "REFUND":
                answer = modifications.refund_captured_payment(told, request.payment_ref, key)
            case _:
                ref = request.authorization_ref or request.payment_ref
                answer = modifications.cancel_authorised_payment_by_psp_reference(told, ref, key)
        return words.of_modification(answer.message or {}, request)

    def _client(self) -> AdyenClient:
        """A client of now: the credential is read at each use."""
        client = AdyenClient(
            xapikey=self._credential.secret(),
            platform="live" if self._settings.get("mode") == "LIVE" else "test",
            live_endpoint_prefix=self._settings.get("live_endpoint_prefix"),
            http_force="requests",
        )
        http: Any = _Http(self._timeout)
        client.http_client, client.http_init = http, True
        return client

    def _at(self, service: Any) -> Any:
        if "base_url" in self._settings:
            service.baseUrl = f"{self._settings['base_url'].rstrip('/')}/{VERSION}"
        return service

    def _hmac_key(self) -> str:
        ref = self._settings.get("hmac_key_ref")
        return Credential(ref).secret() if ref else self._credential.secret("hmac_key")


class _Http:
    """What the library asks of its HTTP client, without redirections, and with an end to answers."""

    user_agent = "Tender"

    def __init__(self, timeout: tuple[float, float]) -> None:
        self._timeout = timeout

    def request(
        self, method: str, url: str, json: Any = None, xapikey: str = "", headers: Any = None
    ) -> tuple[str, Any, int, Any]:
        given = {**(headers or {}), "x-api-key": xapikey}
        response = send(method, url, json=json, headers=given, timeout=self._timeout)
        return response.content.decode(), json, response.status_code, response.headers


def _of(error: AdyenError) -> Outcome:
    status = error.status_code if isinstance(error.status_code, int) else 0
    headers: Any = error.headers or {}
    by_status = of_status(status, str(error.error_code or ""), seconds(headers.get("retry-after")))
    if by_status:
        return by_status
    body = error.message if isinstance(error.message, dict) else {}
    if status == 409 or not body.get("errorCode") or str(body["errorCode"]) == IN_PROGRESS:
        return unknown(f"HTTP {status}: {body.get('errorCode') or 'no error object'}")
    return words.of_error(body)
