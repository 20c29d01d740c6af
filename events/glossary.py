"""The glossary of the language: what a field is wherever its class says nothing of its own.

Schemas, OpenAPI and `tender commands` tell it; nothing that decides reads it.  Where a name means something
else, or more, a docstring below the field says so.
"""

from __future__ import annotations

GLOSSARY: dict[str, str] = {
    "accepted": "How many rows were recorded.",
    "accepted_at": "When the payer agreed.",
    "account_group": "A segment of the tenant's own naming; retries are decided by group.",
    "account_id": "The customer's account.",
    "action": "What the customer has to do before the gateway goes on, where it says so.",
    "actor_type": "Who acts: USER, a person; SERVICE, a program; SYSTEM, Tender itself.",
    "adapter_key": "The name of the adapter that speaks to the gateway, such as `stripe` or `simulator`.",
    "additional_data": (
        "The caller's own pairs of names and values, for the gateway to keep with it: at most 20."
    ),
    "adjustment_id": "The id of the reversal.",
    "amount": "How much, in minor units of its currency.",
    "application_id": "The id of one application: of an amount to an invoice, or to one line of it.",
    "application_ids": "The applications that are taken off, each of them whole.",
    "applications": (
        "One for each line that is settled, or settled no more; or one for the invoice as a whole."
    ),
    "applied": "What of it settles invoices.",
    "applied_before": "What of the payment had settled invoices until then.",
    "arrives_on": "The day on which it is to be at the bank, as the gateway says.",
    "as_of": "The first day for which the rates count.",
    "async_gateway_ref": (
        "What the gateway calls the instrument besides its token: Adyen's PSP reference, Stripe's "
        "fingerprint."
    ),
    "attempt": "Which of the cycle's automatic retries, from 1 on.",
    "attempt_no": (
        "Which attempt at the same operation, from 1 on; each has a gateway idempotency key of its own."
    ),
    "attempts": "How many more attempts are allowed.",
    "auth_code": "The issuer's approval code.",
    "authorization_id": "The id of the authorization.",
    "auto_collect": "Whether what the account owes is collected unasked.",
    "avs_code": "What the issuer found of the payer's address (AVS), in the gateway's own letters.",
    "balance": "What is still open of it after this.",
    "bank_account": "A name of the tenant's own for the bank account; never its number.",
    "bank_account_type": "The kind of bank account, such as checking or savings; only shown.",
    "bank_code": "Routing code, sort code, BIC or BSB.",
    "bank_holder_type": (
        "Whether a person or a company holds the bank account, in the gateway's own word; only kept."
    ),
    "bank_line_id": "The id of the line of the bank statement.",
    "bank_name": "The name of the bank; only shown.",
    "bill_day_of_month": (
        "The day of the month on which the customer is billed, 1 to 31; for whoever issues the invoices."
    ),
    "bill_to_contact": "To whom the invoices go, as they name them.",
    "billing_address": "The payer's address, as the bank knows it.",
    "billing_profile_id": "The billing profile of the account that it belongs to.",
    "booked_on": "The day on which the bank booked it.",
    "by": "Who did it: the id of the actor.",
    "cadence": "How often it fires: ONCE, DAILY, WEEKLY, MONTHLY, or RULE, by a recurrence rule.",
    "calendar": (
        "Whose holidays: a country's, or a part's of one (`DE`, `GB-SCT`), or a market's (`ECB`); without "
        "it, weekends only."
    ),
    "card_category": "CreditCard or DebitCard.",
    "category": (
        "Why it failed, in the same words for all gateways: CardLimit, PaymentProcessing, "
        "PaymentInformation, Security, GatewayConnection, ValidationFailure or Unknown."
    ),
    "cause": (
        "What it was done for: MANUAL, PAYMENT (meant for it from the start), RULE, ORCHESTRATION (a "
        "refund), REFUND, TRANSFER, WRITE_OFF, SMALL_BALANCE, VOID, RETURN or DISPUTE."
    ),
    "certificate": "The number of the certificate.",
    "charge": "The amount without tax.",
    "charge_portion": "What of the amount pays for charges, and not for tax.",
    "check_no": "Which look at the run since it was begun, or last resumed.",
    "chunk_no": "Which chunk of the job, from 1 on.",
    "city": "City or town.",
    "client_context": "Words of the caller's own, kept and sent as they are; nothing here reads them.",
    "code": "Why, as one of the codes that `codes.md` explains.",
    "code_map_version": "By which version of the provider's raw code map its code was read.",
    "collected": "What was collected.",
    "command_id": "The id of the command.",
    "comments": "Words of the caller's own, kept and shown with it.",
    "commodity_code": "The code of the kind of goods, for Level 3 data.",
    "connect_timeout_ms": (
        "How long it may take to reach the gateway, in milliseconds; 5,000 where nothing is said."
    ),
    "contact_id": "The contact of the account who owns it; nothing where the account does.",
    "content": "All that the draft says.",
    "corporate": (
        "What it is worth in the tenant's reporting currency; nothing where there is none, or no rate."
    ),
    "count": "How many items.",
    "created_at": "When it was made.",
    "credential_ref": "Where the credential is kept, such as `env:STRIPE_KEY`; never the credential itself.",
    "credit_applications": "How many applications of credit memos were made.",
    "credit_memo_id": "The id of the credit memo.",
    "criteria": "Which of the items that are due it is for; without any, all of them.",
    "currencies": "The currencies that the account is billed in (ISO 4217), the usual one first.",
    "currency": "Of all its amounts: ISO 4217, such as `EUR`.",
    "custom_fields": (
        "Names and values of the tenant's own, at most 20, to filter by and to show; no place for personal "
        "data."
    ),
    "cvc_code": "What the issuer found of the card's security code (CVC), in the gateway's own letters.",
    "cycle_no": "Which cycle of retries of the item, from 1 on.",
    "debit_memo_id": "The id of the debit memo.",
    "default_method_id": "The saved payment method for items that name none.",
    "default_treatment_id": "The treatment of invoices that no other is for.",
    "definition": "All that the rule set says, as of this version.",
    "definition_version": "Which version of the rule set, from 1 on.",
    "demoted_profile_id": "The profile that was the default until now.",
    "description": "What it is for, in words.",
    "descriptor_code": (
        "The six characters in the text of the one deposit that was made, instead of two amounts."
    ),
    "detail": "What is wrong with it, in words.",
    "detail_id": "The id of the detail, within its treatment.",
    "device_fingerprint": "What the shop's own tools know the payer's device by.",
    "digest": "SHA-256 in hex of the bytes that it came in.",
    "dispute_id": "The id of the dispute.",
    "distribution": "Into which items the detail's share is cut.",
    "drafted_at": "When it was written down.",
    "due_date": "The day by which it is to be paid.",
    "due_date_window_days": (
        "With the grouping ACCOUNT: due at most so many days after the earliest, an invoice shares its "
        "schedule."
    ),
    "effective_at": "When it takes effect for the books: now, where nothing is said.",
    "email": "The payer's e-mail address.",
    "end_date": "The last day that is planned; without one it goes on.",
    "enhanced_data": (
        "What is said of the purchase to corporate cards (Level 2 data), where the setting "
        "`level2_level3_data` is on."
    ),
    "every": "How many of its units lie between two items.",
    "evidence": "What shows that it is so, in words, such as a reference or who was asked.",
    "evidence_due_at": "Until when the bank takes evidence.",
    "examples": "The first rows that were refused.",
    "exception_id": "The id of the exception.",
    "exclude_from_payments": "True: nothing is collected for it by itself, as no payment schedule is cut.",
    "exclude_weekends_and_holidays": "Whether it leaves weekends and the calendar's holidays out.",
    "excluded_day": (
        "What becomes of a day that is excluded: NEXT_BUSINESS_DAY, PREVIOUS_BUSINESS_DAY, or SKIP."
    ),
    "expires_at": "When it ends by itself; without one, never.",
    "expiry_month": "The month after which the card is no longer valid, 1 to 12.",
    "expiry_year": "The year of that month, in four digits.",
    "extended_type": "Of `extd_wallet` and `extd_apm`, which need it: which wallet, or which way to pay.",
    "external_id": "The id that its issuer gave it, unique in the tenant.",
    "external_reference": "What the contract is called elsewhere; no two gateways of a tenant have the same.",
    "failed_at": "When it failed.",
    "fee": "What the gateway takes for it.",
    "final": "True: it is the last capture, and the gateway lets go of what is left.",
    "fingerprint": "Tells whether two instruments are the same; no number can be read from it.",
    "first_failed_at": "When the first attempt of the cycle failed.",
    "format": "What the file is read as: the key of the adapter whose gateway writes it, such as `stripe`.",
    "fraud_context": "What is known of who pays, for the gateway to judge the risk by.",
    "from_account_id": "The account that the money comes from.",
    "from_hour": "The first hour of the day in which attempts are made, 0 to 23.",
    "from_payment_id": "The payment that the money comes from.",
    "gateway_auth_code": "The issuer's approval code.",
    "gateway_date": "When the gateway did it, by its own account.",
    "gateway_id": "The id of the gateway here, such as `stripe-eu`.",
    "gateway_idempotency_key": "The key under which the gateway is asked: it carries out each only once.",
    "gateway_ref": "The gateway's own id of the operation.",
    "gateway_reference": "The gateway's own id of the customer whose instrument it is, where it has one.",
    "gross": (
        "What changes in the payout before the fee, in its currency; below zero, where the gateway takes it."
    ),
    "grouping": (
        "INVOICE: a schedule for each; ACCOUNT: one for an account's invoices that are due close together."
    ),
    "handle": "The component's stand-in for the number, which never reaches Tender.",
    "happened_at": "When it happened, as the gateway says.",
    "hard": "True: it will not succeed with this instrument; false: it may, later.",
    "held": "What of the payment can be used for nothing else meanwhile.",
    "holder_email": "The e-mail address of the instrument's holder.",
    "holder_name": "The name of the instrument's holder.",
    "instrument": "How the money moved: CASH, CHECK, WIRE (a bank transfer) or OTHER.",
    "intervals": "How long after a failure the next attempt is, where no rule says otherwise.",
    "invoice_date": "The date that the invoice bears; without one, the day of its posting.",
    "invoice_id": "The id of the invoice here.",
    "invoice_ids": "The invoices that it is collected for.",
    "ip": "The IP address from which the payer agreed.",
    "ip_address": "The payer's IP address.",
    "is_alternate": "Whether another method is charged than the one that failed.",
    "is_default": "Whether it counts where no profile is named; the default before it is one no longer.",
    "issuer": "The bank that issued the card; only kept.",
    "item": "What is collected, and when.",
    "item_id": "The id of the item of the payment schedule.",
    "items": "The items, in the order of the run.",
    "job_id": "The id of the migration.",
    "key_id": "The public part of the key, by which it is found.",
    "lanes": "How many items of which page are charged at which gateway.",
    "last4": "The last four digits of the number; only shown.",
    "late": "True: it had been taken for failed before.",
    "leg_no": "Which leg of the refund orchestration, from 1 on.",
    "legal_entity_id": "The seller's company in whose books it is; `default`, where nothing is said.",
    "level": "INVOICE or INVOICE_LINE: whether the invoice is settled as a whole, or line by line.",
    "line1": "Street and number.",
    "line2": "What else finds the door, such as a floor.",
    "line_id": "The id of the line, unique within its document.",
    "line_order": (
        "Which lines come first: HIGHEST_BALANCE_FIRST; OLDEST_FIRST, as they stand on the invoice; or "
        "TAX_FIRST, the tax of all lines before any charge."
    ),
    "line_ref": "The gateway's own name of the line.",
    "lines": "What it is made of, line by line.",
    "mac_address": "The MAC address of the payer's device.",
    "mandate_accepted_at": "When the payer agreed to the method's being kept and charged.",
    "mandate_reference": "The reference of the payer's mandate; a bank debit is charged only with one.",
    "match_type": "MATCH_ANY: at least one test is true; MATCH_NONE: none is; MATCH_ALL: each is.",
    "matching_value": "A label of the tenant's own, by which schedulers choose what they collect.",
    "max": "How many automatic retries there are at most, 1 to 10.",
    "max_items": "At most so many items are collected; without it, all that are due.",
    "max_items_per_run": "At most so many items are collected by a run; without it, all that are due.",
    "memo_line_id": "The line of the credit memo.",
    "merchant_account_id": "What the gateway calls the seller's account there.",
    "merchant_created": "Whether somebody other than the payer saved it, by consent that is recorded.",
    "merchant_reference": "The number of the operation that the gateway was told, such as `PAY-000042`.",
    "message": "Why, in words.",
    "method": "The instrument, as it was when it was used.",
    "method_id": "The id of the saved payment method.",
    "method_ids": "The methods, the first to be tried first.",
    "method_selection": (
        "MOST_RECENT_AUTOPAY or DEFAULT_SAVED_METHOD: the invoice's own method, else its billing "
        "profile's, else the account's default; MANUAL: none, until an item is given one and released."
    ),
    "mode": "INSERT_ONLY: a method that is saved already is left as it is; UPSERT: it is updated.",
    "month": "Year and month, such as `2026-03`.",
    "moto": "True: the payer gave it by mail or telephone.",
    "name": "What people call it.",
    "net": "What changes in the payout: `gross` less `fee`.",
    "network": "The network of the card, such as `visa`.",
    "network_advice": (
        "What the card network advises about trying again, such as a Mastercard merchant advice code."
    ),
    "network_transaction_id": (
        "The card network's id of the payment with which the card was agreed to be kept; later ones refer "
        "to it."
    ),
    "never_retry": "True: the card network forbids to try it again.",
    "new_payment_group": (
        "A group that begins with it; instead of `payment_group_id`, which names one that is there."
    ),
    "next_query_at": "When the gateway is asked what became of it.",
    "next_run_at": "When it fires next; nothing, if it will not.",
    "nickname": "What its owner calls it.",
    "note": "What a person says of it, in words.",
    "notes": "Words of the caller's own, kept with the refund.",
    "nth": "FIRST to FOURTH, or LAST: which such weekday of the month.",
    "number": "The number by which people know it.",
    "opened_at": "When it was opened.",
    "operation_key": "The gateway idempotency key of the operation.",
    "orchestration_id": "The id of the refund orchestration.",
    "order": (
        "Which invoices come first: AS_NAMED, OLDEST_FIRST (by posting), EARLIEST_DUE_FIRST or "
        "HIGHEST_BALANCE_FIRST; without it, as they are named, or of all the oldest."
    ),
    "original_invoice_id": "The invoice that it changes or takes back.",
    "original_ref": "The gateway's own id of what it builds on, such as the payment of a refund.",
    "outcome": "What the gateway said became of it.",
    "owner_type": "ACCOUNT, or CONTACT: a contact of the account owns it.",
    "page_no": "Which page of the run, from 1 on.",
    "paid_on": "The day on which the money was given back.",
    "parent_account_id": "The account above this one, such as that of the parent company.",
    "payment_applications": "How many applications of payments were made.",
    "payment_exclusion_reason": "Why nothing is collected for it by itself.",
    "payment_group_id": "The group that it belongs to: the operations of one order or invoice.",
    "payment_id": "The id of the payment.",
    "payment_link_id": "The id of the payment link.",
    "payment_method_id": "The saved payment method that the money goes to.",
    "payment_schedule_id": "The id of the payment schedule.",
    "payment_schedule_ids": "The payment schedules that collect it.",
    "payment_term_id": "The terms of payment of its invoices, by their name in the setting `payment_terms`.",
    "payout_id": "The id of the payout here.",
    "payout_ref": "The gateway's own name of the payout.",
    "percentage": (
        "Percent of what is to be collected, as a decimal string; the details of a treatment total 100."
    ),
    "phone": "The payer's telephone number.",
    "planned_at": "The instant for which the scheduler had planned it.",
    "policy_id": "The id of the schedule policy.",
    "postal_code": "Postal code or ZIP code.",
    "posted_at": "When it is posted: now, where nothing is said.",
    "preferred_time": "HH:MM in its time zone: the time of day at which it fires.",
    "previous": "What it was before.",
    "processed_amount": "What the gateway says that it took.",
    "processing_mode": (
        "PLATFORM: tokenized by a component that is used with Tender; EXTERNAL: brought in from outside."
    ),
    "product": "What is charged for.",
    "profile_id": "The id of the billing profile.",
    "promise_id": "The id of the promise.",
    "provider_event_id": "The gateway's own id of the notification, or the digest of what it says.",
    "provider_id": "The id of the gateway provider.",
    "queries": "How many inquiries there were until then.",
    "rate": "Percent, as a decimal string with at most 6 places.",
    "rate_limit_per_second": (
        "At most so many calls a second, by all workers together; without it, as many as come."
    ),
    "raw_code": "The gateway's own code for it.",
    "raw_message": "The gateway's own words for it.",
    "raw_ref": "Where the bytes that came are kept.",
    "raw_type": "What the gateway calls such a line.",
    "read_timeout_ms": (
        "How long its answer may take, in milliseconds; after that the outcome is unknown. 120,000 where "
        "nothing is said."
    ),
    "reason": "Why, in words or as a code.",
    "reason_code": "Why, as a code of the tenant's own.",
    "received_at": "When it came.",
    "received_on": "The day on which the money arrived.",
    "recorded_at": "When it was recorded.",
    "recurs_on": "On which day of its week or month.",
    "reference": "What it is called outside, such as the number of a cheque or of a transfer.",
    "reference_id": "The id of what it is for, of the kind that `reference_type` says.",
    "reference_invoice_id": "The invoice whose charges it takes back.",
    "refund_id": "The id of the refund.",
    "refused_at": "When it was refused.",
    "region": "State, province or region.",
    "rejected": "How many rows were refused.",
    "rejected_by_code": "How many rows were refused with which code.",
    "released": "What is free again.",
    "report": "How many items have which outcome, and their money, by then.",
    "report_id": "The id of the settlement report.",
    "requested": "What is to be collected.",
    "requested_at": "When it was asked for.",
    "requested_by": "Who asked for it: the id of the actor.",
    "resolution": "What was done about it, in a word.",
    "result_code": (
        "What the gateway answered, in the same words for all: Decline, PermanentFail, ValidationError, "
        "SystemError, …"
    ),
    "results": "What became of which item.",
    "roles": "The roles that it acts in; `permissions.md` says what each may do.",
    "row_no": "Which row of the file, from 1 on.",
    "rows": "How many rows there are.",
    "rule": "The rule that the failure met.",
    "rule_number": "The number of the rule in its set; nothing where the set's own intervals were used.",
    "rule_set_id": "The id of the retry rule set.",
    "rules": "For failures of one category each; the more a rule names besides, the earlier it is asked.",
    "run_id": "The id of the batch run.",
    "run_page": "The page of the run that the item is on.",
    "salt": "What the key's secret is mixed with before its digest is made.",
    "saved_at": "When it was saved.",
    "saved_payment_method_id": (
        "The saved payment method that pays it; without one, its billing profile's, or the account's default."
    ),
    "saves_method": "Whether the guest wants the method kept for the account.",
    "scheduler_id": "The id of the payment scheduler.",
    "scheme": "The scheme of the mandate, such as SEPA Core.",
    "sec_code": (
        "How the holder of a US bank account agreed (ACH): CCD, as a company; PPD, in writing; TEL, by "
        "telephone; WEB, online."
    ),
    "sent_at": "When it was sent, or may have been.",
    "settled": "The same in the payout's currency, before the fee.",
    "shared": "Whether the account's other contacts, and its default, may use it.",
    "shared_within_account": (
        "Whether the account's other contacts, and its default, may use a contact's method."
    ),
    "shares": "Which invoices it is for, and how much of each, in turn.",
    "ship_from_postal_code": "The postal code that the goods are sent from.",
    "ship_to_postal_code": "The postal code that the goods are sent to.",
    "shipping_address": "Where the goods go.",
    "single_use": "Whether one payment uses it up; else it takes payments until its invoice owes nothing.",
    "skip_automatic_payments": "True: nothing is collected by itself for the invoices of this profile.",
    "skip_holidays": "True: no attempt on the calendar's holidays.",
    "skip_weekends": "True: no attempt on Saturdays and Sundays.",
    "source": (
        "Who says so: GATEWAY, by its answer; NOTIFICATION; RECONCILER, by an inquiry; OPERATOR, a person."
    ),
    "start_date": "The first day on which it may fire.",
    "started_at": "When it began.",
    "strict": "With INSERT_ONLY: a method that is saved already is an error; else it is passed over.",
    "sub_type": "The gateway's own word for a finer kind of instrument; only kept.",
    "target_id": "The id of what it is about.",
    "target_kind": (
        "What it is about, such as `payment`, `auth` (an authorization), `refund` or `cm` (a credit memo)."
    ),
    "target_processing_date": "The day on which it is collected, in the tenant's time zone.",
    "targets": "Which invoices, or lines of them, it goes to.",
    "tax_exemption": "Why the customer is charged no tax; for whoever issues the invoices.",
    "tax_minor": "The tax in it, in minor units.",
    "tax_portion": "What of the amount pays for tax.",
    "tax_rate": "Percent, as a decimal string.",
    "tax_strategy": "Where its tax comes from: IGNORE, MANUAL_OVERRIDE or COPY_FROM_INVOICE_LINE.",
    "taxes": "The taxes on the charge, one each; without any, there is none.",
    "terms": "The settings that count for this cycle.",
    "text": "What the bank statement says of it.",
    "text_hash": "Of the words that the payer agreed to: a hash that proves them.",
    "time_zone": "IANA name, such as `Europe/Berlin`; without it, the tenant's.",
    "timing": "When it fires.",
    "to_account_id": "The account that the money goes to.",
    "to_hour": "The hour before which attempts are made, 1 to 24; after `from_hour`.",
    "to_payment_id": "The payment that the money goes back to.",
    "token_ref": "The gateway's stand-in for the instrument; never the number of a card or an account.",
    "total": "The sum of its lines or parts, taxes included.",
    "total_charge": "The charges of its lines, without tax.",
    "total_requested": "What is to be collected by all its items.",
    "total_tax": "The tax of its lines.",
    "transfer_id": "The id of the transfer.",
    "treatment_id": "The id of the treatment, within its policy.",
    "trigger": "What makes a schedule: INVOICE_POSTED.",
    "turn": "Which turn of the run: 1 as it was begun, and one more with each time that it was resumed.",
    "type": (
        "What kind of instrument: card; us_bank_account, sepa_debit, bacs_debit, au_becs_debit; ideal, "
        "bancontact; extd_wallet, extd_apm."
    ),
    "unapplied": "What of the payment is unapplied after it.",
    "unit": "DAYS or MONTHS between two items.",
    "unreadable": "How many rows could not be read.",
    "until": "When it ends by itself; without it, when somebody ends it.",
    "uom": "The unit of measure, such as `hour` or `GB`.",
    "usage": (
        "OFF_SESSION, RESTRICTED_OFF_SESSION: it may be charged without the customer there; ON_SESSION: it "
        "may not, so nothing is collected with it by itself."
    ),
    "use_alternate_method": "Whether the last attempt is made with another of the account's methods.",
    "used_at": "When somebody signed in with it.",
    "valid": "How many rows can be taken over.",
    "valid_until": "The last day on which it counts; without one, until further notice.",
    "values": "How many units to wait, each at most 60: one value, or with STAGGERED one for each attempt.",
    "warnings": "What is not wrong, and should be looked at.",
    "was_unmatched": "True: its money lay in suspense before.",
    "why": "What was decided by, in words, one step each.",
    "window": "When attempts may be made; without it, at any time.",
}
"""By name of the field, one sentence or two: units, format, and what its absence means."""
