"""Shapes that several facts share."""

from __future__ import annotations

from datetime import date, datetime

from events.frozen import frozen
from events.money import Money
from events.personal import Personal


@frozen
class Address:
    line1: Personal | None = None
    line2: Personal | None = None
    city: Personal | None = None
    region: str | None = None
    postal_code: Personal | None = None
    country: str | None = None
    """The country: ISO 3166-1 alpha-2, such as `DE`."""


@frozen
class Method:
    """The instrument as it was when it was used: enough to call the gateway and to show a person.

    `token_ref` stands in for the instrument at the gateway; it is never a card number.
    """

    type: str
    token_ref: str
    gateway_id: str
    method_id: str | None = None
    """The saved payment method, when it is one."""
    gateway_reference: str | None = None
    network: str | None = None
    last4: str | None = None
    expiry_month: int | None = None
    expiry_year: int | None = None
    network_transaction_id: str | None = None
    mandate_reference: str | None = None
    sec_code: str | None = None


@frozen
class FraudContext:
    """What is known of who pays, for the gateway's judgement of the risk."""

    email: Personal | None = None
    ip_address: Personal | None = None
    mac_address: Personal | None = None
    phone: Personal | None = None
    device_fingerprint: Personal | None = None


@frozen
class Corporate:
    """An amount in the tenant's reporting currency, as it was worth on a day; it changes no balance."""

    amount: Money
    rate: str
    """So much of the reporting currency is one of the amount's own, as a decimal string."""
    date: date
    """The rate's."""


@frozen
class ActionRequired:
    """What the customer has to do before the gateway goes on, such as a 3-D Secure challenge."""

    type: str
    """The gateway's own: `redirect`, `use_stripe_sdk`, `threeDS2`, …"""
    url: str | None = None
    """Where to send the customer, where that is all."""
    parameters: dict[str, str] | None = None
    """What the gateway's component in the browser asks for; of use to nobody but this customer."""


@frozen
class Outcome:
    """What a gateway answered, as it is kept.  All codes are the gateway's own."""

    result_code: str
    """Success, Decline, PermanentFail, ValidationError, RequiresReview, SystemError, Indeterminate,
    ActionRequired, Pending, or EnhancedDataRejected: refused for its Level 2 and 3 data alone."""
    category: str | None = None
    hard: bool = False
    never_retry: bool = False
    raw_code: str | None = None
    raw_message: str | None = None
    gateway_ref: str | None = None
    auth_code: str | None = None
    avs_code: str | None = None
    cvc_code: str | None = None
    processed_amount: Money | None = None
    """What the gateway took, held or gave back."""
    gateway_date: datetime | None = None
    expires_at: datetime | None = None
    """Of a hold: until when it lasts."""
    network_transaction_id: str | None = None
    """The card network's id of it: later payments by a card that is kept refer to it."""
    retry_after_seconds: int | None = None
    """Of a call that was not executed: when the gateway takes it.  Of a refusal: when the instrument may be
    tried again."""
    code_map_version: int | None = None
    level_sent: int | None = None
    """1, 2 or 3: how much enhanced data went with a card payment."""
    raw_sub_code: str | None = None
    """What the gateway's code is refined by."""
    network_code: str | None = None
    """The card network's own word (ISO 8583), where the gateway passes it on."""
    network_advice: str | None = None
    """The network's advice on trying again, such as a Mastercard merchant advice code."""
    reference_details: str | None = None
    """What else the gateway calls it by, at most 1,000 characters."""
    action: ActionRequired | None = None


@frozen
class Intended:
    """Where the money of a payment shall go once it has arrived; no amount means as much as fits."""

    invoice_id: str
    amount: Money | None = None
    line_id: str | None = None
    """One line of the invoice; without it, the invoice."""


@frozen
class Applied:
    """One application to one invoice line (or to a whole invoice, without `line_id`).

    `charge_portion` and `tax_portion` add up to `amount`.  On an unapplication,
    `related_application_id` names the application that it takes back, in whole.
    """

    application_id: str
    """Its own id, by which it is taken back."""
    amount: Money
    charge_portion: Money
    tax_portion: Money
    line_id: str | None = None
    """The line of the invoice; nothing, where the invoice is settled as a whole."""
    source_line_id: str | None = None
    """The credit memo line it came from, where it came from one."""
    related_application_id: str | None = None
    """On an unapplication: the application that it takes back."""


@frozen
class ScheduleItemRef:
    """An item of a payment schedule."""

    payment_schedule_id: str
    item_id: str
