"""What goes to a gateway besides the money: who pays from where, and the client's own words."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from events.frozen import frozen
from events.shapes import FraudContext
from services.accounts import account
from services.accounts.account import Account
from services.commands import Amount, FreeText, Text


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise PydanticCustomError("ip_address", "this is no IP address") from error


Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]
IpAddress = Annotated[str, AfterValidator(_address)]
MacAddress = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$")]
Phone = Annotated[str, StringConstraints(pattern=r"^\+?[0-9 ()./-]{3,40}$")]
Code = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]
PostalCode = Annotated[str, StringConstraints(min_length=1, max_length=20, strip_whitespace=True)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
"""ISO 3166-1 alpha-2."""
AdditionalData = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=40)],
        Annotated[str, StringConstraints(max_length=255)],
    ],
    Field(max_length=20),
]
"""The client's own pairs, for the gateway to keep."""


@frozen
class Payer:
    """What is known of who pays, for the gateway's judgement of the risk."""

    email: Email | None = None
    ip_address: IpAddress | None = None
    mac_address: MacAddress | None = None
    phone: Phone | None = None
    device_fingerprint: Text | None = None


@frozen
class PurchaseDetail:
    """What a client says of a purchase, for Level 2 data; what it leaves out is taken from what is paid."""

    customer_code: Code | None = None
    """What the buyer knows it by, such as a purchase order or a cost centre; else the account's id."""
    reference_id: Code | None = None
    """What the purchase is called; else by the payment's, or the authorization's, number."""
    tax: Amount | None = None
    """The tax in it, where no invoice is named; else it is the invoices'."""
    ship_from_postal_code: PostalCode | None = None
    """Where the goods are sent from; else that of the legal entity, by the setting
    `ship_from_postal_codes`."""
    ship_to_postal_code: PostalCode | None = None
    """Where the goods are sent to; else that of the billing profile's address."""
    ship_to_country: Country | None = None
    """Where the goods are sent to, ISO 3166-1 alpha-2; else that of the billing profile's address."""


class Accompanied(Protocol):
    @property
    def fraud_context(self) -> Payer | None: ...
    @property
    def client_context(self) -> FreeText | None: ...
    @property
    def comments(self) -> FreeText | None: ...
    @property
    def additional_data(self) -> AdditionalData | None: ...


def accompanying(command: Accompanied, owner: Account) -> dict[str, Any]:
    """What of it was given, as `GatewayCallPlanned` has it.  Raises `PERSONAL_DATA_ERASED`."""
    given = paid_by(command.fraud_context, owner)
    for name in ("client_context", "comments", "additional_data"):
        if (value := getattr(command, name)) is not None:
            given[name] = value
    return given


def paid_by(payer: Payer | None, owner: Account) -> dict[str, Any]:
    """Who pays, as `GatewayCallPlanned` has it.  Raises `PERSONAL_DATA_ERASED`."""
    if payer is None:
        return {}
    account.check_takes_personal(owner, *vars(payer).values())
    return {"fraud_context": FraudContext(**vars(payer))}


def remembered(given: Mapping[str, Any]) -> dict[str, Any]:
    """What of it the payment, or the authorization, remembers itself."""
    return {name: given[name] for name in ("fraud_context", "client_context") if name in given}
