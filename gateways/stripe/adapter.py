"""The Stripe adapter: one request a call, under the recorded key, and never a second try of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import orjson
import stripe

from events.gateway import Capabilities
from events.gateway_call import GatewayCallPlanned
from events.shapes import Outcome
from gateways.credentials import Credential, CredentialMissing
from gateways.http import failed
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
from gateways.protocol import InvalidSignature, Notification, StaleNotification
from gateways.stripe import translation as words
from gateways.stripe.news import read
from gateways.stripe.transport import Transport
from gateways.units import Uncountable, uncountable

TOLERANCE_SECONDS = 300
"""A webhook older than this is not of now: the default of Stripe's own libraries."""

PAGES_MAX = 10


class StripeAdapter:
    """Settings: `base_url` (else Stripe's own), `stripe_account` for a connected account, and
    `webhook_secret_ref` where the credential is one text."""

    def __init__(
        self,
        settings: Mapping[str, str],
        connect_timeout_ms: int,
        read_timeout_ms: int,
        credential: Credential,
    ) -> None:
        self._settings, self._credential = settings, credential
        self._transport = Transport(connect_timeout_ms, read_timeout_ms)

    def __repr__(self) -> str:
        return f"StripeAdapter({self._credential!r})"

    @property
    def capabilities(self) -> Capabilities:
        return words.CAPABILITIES

    async def call(self, request: GatewayCallPlanned) -> Outcome:
        """Carry out one operation under its idempotency key."""
        acts: dict[str, Callable[[GatewayCallPlanned], Awaitable[Outcome]]] = {
            "AUTHORIZE": self._pay,
            "SALE": self._pay,
            "CAPTURE": self._capture,
            "REVERSE": self._cancel,
            "REFUND": self._refund,
            "TOKENIZE": self._set_up,
            "VERIFY": self._verify,
        }
        if request.operation not in acts:
            return unsupported(request.operation, "Stripe")
        return careful(await _told(acts[request.operation](request)), self._credential)

    async def query(self, request: GatewayCallPlanned) -> Outcome | None:
        """What became of the key: by the object it builds on where there is one, else by search."""
        try:
            found = await self._find(request)
        except CredentialMissing as missing:
            return unknown(str(missing))
        except (stripe.StripeError, httpx.HTTPError, *UNREADABLE) as lost:
            return unknown(f"the inquiry failed: {type(lost).__name__}")
        return found and careful(found, self._credential)

    def parse_notification(self, headers: Mapping[str, str], body: bytes) -> list[Notification]:
        signature = {name.lower(): value for name, value in headers.items()}.get("stripe-signature", "")
        try:
            stripe.WebhookSignature.verify_header(
                body.decode(), signature, self._webhook_secret(), TOLERANCE_SECONDS
            )
        except CredentialMissing as missing:
            raise InvalidSignature(str(missing)) from None
        except stripe.SignatureVerificationError as error:
            if "tolerance" in str(
                error
            ):  # the library checks the time last, and has no error of its own for it
                raise StaleNotification("Stripe signed it more than five minutes ago") from None
            raise InvalidSignature("the signature is not Stripe's") from None
        except UnicodeDecodeError:
            raise InvalidSignature("the signature is not Stripe's") from None
        return read(orjson.loads(body))

    async def close(self) -> None:
        await self._transport.close_async()

    # -- operations

    async def _pay(self, request: GatewayCallPlanned) -> Outcome:
        made = await self._v1.payment_intents.create_async(
            _any(words.creation(request)), self._keyed(request)
        )
        return words.of_intent(made.to_dict(), _level(request))

    async def _capture(self, request: GatewayCallPlanned) -> Outcome:
        captured = await self._v1.payment_intents.capture_async(
            request.authorization_ref or "", _any(words.capture(request)), self._keyed(request)
        )
        return words.of_intent(captured.to_dict(), _level(request))

    async def _cancel(self, request: GatewayCallPlanned) -> Outcome:
        canceled = await self._v1.payment_intents.cancel_async(
            request.authorization_ref or "", {}, self._keyed(request)
        )
        return words.of_cancellation(canceled.to_dict(), request.amount) or unknown(canceled.status)

    async def _refund(self, request: GatewayCallPlanned) -> Outcome:
        made = await self._v1.refunds.create_async(_any(words.refund(request)), self._keyed(request))
        return words.of_refund(made.to_dict())

    async def _set_up(self, request: GatewayCallPlanned) -> Outcome:
        made = await self._v1.setup_intents.create_async(_any(words.setup(request)), self._keyed(request))
        return words.of_setup(made.to_dict())

    async def _verify(self, request: GatewayCallPlanned) -> Outcome:
        made = await self._v1.setup_intents.verify_microdeposits_async(
            request.payment_ref or "", _any(words.verification(request)), self._keyed(request)
        )
        return words.of_setup(made.to_dict())

    # -- inquiries

    async def _find(self, request: GatewayCallPlanned) -> Outcome | None:
        key = request.idempotency_key
        match request.operation:
            case "CAPTURE" | "REVERSE":
                intent = await self._intent(request.authorization_ref or "")
                if request.operation == "REVERSE":
                    return words.of_cancellation(intent, request.amount)
                captured = (intent.get("metadata") or {}).get(words.CAPTURE_KEY) == key
                return words.of_intent(intent) if captured and intent["status"] == "succeeded" else None
            case "REFUND":
                made = await self._refund_with(key, request.payment_ref or "")
                return words.of_refund(made) if made else None
            case "VERIFY":
                found = await self._v1.setup_intents.retrieve_async(
                    request.payment_ref or "", {}, self._options()
                )
                return words.of_verification(found.to_dict())
            case "TOKENIZE":
                return unknown("Stripe cannot be asked for a setup intent by its metadata")
            case _:
                query = f"metadata['{words.KEY}']:'{key}'"
                found = await self._v1.payment_intents.search_async(
                    {"query": query, "limit": 1, "expand": ["data.latest_charge"]}, self._options()
                )
                return words.of_intent(found.data[0].to_dict()) if found.data else None

    async def _intent(self, ref: str) -> dict[str, Any]:
        found = await self._v1.payment_intents.retrieve_async(
            ref, {"expand": ["latest_charge"]}, self._options()
        )
        return found.to_dict()

    async def _refund_with(self, key: str, payment_intent: str) -> dict[str, Any] | None:
        after: dict[str, Any] = {}
        for _ in range(PAGES_MAX):
            page = await self._v1.refunds.list_async(
                _any({"payment_intent": payment_intent, "limit": 100} | after), self._options()
            )
            for made in (each.to_dict() for each in page.data):
                if (made.get("metadata") or {}).get(words.KEY) == key:
                    return made
            if not page.has_more:
                return None
            after = {"starting_after": page.data[-1].id}
        raise httpx.HTTPError(f"more than {PAGES_MAX} pages of refunds")

    # -- the connection

    @property
    def _v1(self) -> Any:
        """A client of now: the credential is read at each use."""
        base: Any = {"api": self._settings["base_url"]} if "base_url" in self._settings else None
        client = stripe.StripeClient(
            self._credential.secret(),
            http_client=self._transport,
            base_addresses=base,
            max_network_retries=0,
        )
        return client.v1

    def _options(self) -> dict[str, Any]:
        account = self._settings.get("stripe_account")
        return {"stripe_account": account} if account else {}

    def _keyed(self, request: GatewayCallPlanned) -> dict[str, Any]:
        return self._options() | {"idempotency_key": request.idempotency_key}

    def _webhook_secret(self) -> str:
        ref = self._settings.get("webhook_secret_ref")
        return Credential(ref).secret() if ref else self._credential.secret("webhook_secret")


def _any(parameters: dict[str, Any]) -> Any:
    """The library's parameter types are closed dictionaries; ours are built step by step."""
    return parameters


def _level(request: GatewayCallPlanned) -> int:
    return 1 if request.enhanced is None else 3 if request.enhanced.lines else 2


async def _told(answer: Awaitable[Outcome]) -> Outcome:
    """Every way that a call can end, as an outcome."""
    try:
        return await answer
    except CredentialMissing as missing:
        return not_sent(str(missing))
    except Uncountable as error:
        return uncountable(error)
    except httpx.HTTPError as error:
        return failed(error)
    except stripe.StripeError as error:
        return _of(error)
    except UNREADABLE as error:
        return unreadable(error)


def _of(error: stripe.StripeError) -> Outcome:
    told: Any = error.json_body if isinstance(error.json_body, Mapping) else {}
    body = told.get("error") or {}
    status = error.http_status or 0
    retry_after = seconds((error.headers or {}).get("retry-after"))
    by_status = of_status(status, body.get("code") or body.get("type") or "", retry_after)
    if by_status:
        return by_status
    if status == 409 or body.get("type") == "idempotency_error" or not body:
        return unknown(f"HTTP {status}: {body.get('code') or body.get('type') or 'no error object'}")
    return words.of_error(body)
