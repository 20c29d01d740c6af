"""What a seed's people do with saved methods: tokenized, agreed to, shared, and taken over from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from services.accounts.checking import CheckPaymentMethod
from services.accounts.method_choice import SetDefaultPaymentMethod
from services.accounts.method_details import (
    RecordMandate,
    RevokeMandate,
    SharePaymentMethod,
    UpdatePaymentMethodDetails,
)
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.accounts.tokenizing import Bank, Card, TokenizePaymentMethod
from services.accounts.verifying import VerifyMicroDeposits
from services.migrations.migrating import (
    ImportRows,
    ImportTokenizedPaymentMethod,
    MigrationRow,
    TokenizedMethod,
)
from services.migrations.token_migration import (
    BEFORE_THE_END,
    CancelTokenMigration,
    CreateTokenMigration,
    ReportTokenMigration,
    StartTokenMigration,
    TokenMigrationJob,
    ValidateTokenMigration,
    home_of,
)
from services.payments.paying import ProcessPayment
from tests.simulation.bank import MAIN
from tests.simulation.mistakes import POUND, provokes
from tests.simulation.virtual_loop import START
from tests.simulation.workload import ACCOUNTS, Said, Users, of, says

HANDLES = (
    "hdl_ok hdl_ok hdl_decline_incorrect_number hdl_async_ok hdl_async_fail hdl_timeout_after "
    "hdl_timeout_before hdl_review hdl_action"
).split()
JOBS, ROWS = 4, 6
"""Migrations of a seed, and the rows of each: half of them in one chunk."""


@says(7)
def tokenize(users: Users, account: str) -> TokenizePaymentMethod:
    chosen = users.chosen
    handle, mark = chosen.choice(HANDLES), f"wallet-{account}-{chosen.randrange(4)}"
    if chosen.random() < 0.3:
        bank = Bank(handle, "us_bank_account", "110000000")
        return TokenizePaymentMethod(MAIN, "Ada", bank=bank, fingerprint=f"{mark}-bank")
    return TokenizePaymentMethod(
        MAIN, "Ada", card=Card(handle, "Visa", "CreditCard", 9, 2026), fingerprint=mark
    )


@says(6)
def prove(users: Users, account: str) -> object:
    """A bank account was sent two small amounts: its holder says which, or guesses."""
    chosen = users.chosen
    sent = users.pick("spm", lambda m: m.awaits == "MICRO_DEPOSITS")
    if sent is None:
        bank = Bank("hdl_action", "us_bank_account", "110000000")
        return TokenizePaymentMethod(MAIN, "Ada", bank=bank, fingerprint=f"proof-{users.number}")
    told = chosen.choice(({"amounts": (32, 45)}, {"amounts": (1, 2)}, {"descriptor_code": "SM11AB"}))
    return of(users, sent, lambda m: VerifyMicroDeposits(m.method_id, **told))


@says(3)
def agree(users: Users, account: str) -> Said | None:
    """A payer agrees to be charged, to something else, or no longer."""
    agreed = users.pick("spm", lambda m: _is_live(m) and m.mandate_reference)
    if agreed and users.chosen.random() < 0.5:
        return of(users, agreed, lambda m: RevokeMandate(m.method_id, "he asked"))
    reference = f"mandate-{users.number}"
    return of(users, users.pick("spm", _is_live), lambda m: RecordMandate(m.method_id, reference, START))


@says(2)
def of_a_contact(users: Users, account: str) -> object:
    method = users.pick(
        "spm", lambda m: _is_live(m) and m.account_id == account and m.owner_type == "CONTACT"
    )
    if method is None:
        return SavePaymentMethod(
            MAIN,
            "tok_ok",
            "card",
            f"contact-{account}",
            owner_type="CONTACT",
            contact_id="C1",
            is_default=users.chosen.random() < 0.2,  # which only works for what the account may use
        )
    return SharePaymentMethod(method.method_id, users.chosen.random() < 0.5)


@says(2)
def update(users: Users, account: str) -> Said | None:
    """A new card in the place of an old one, as its holder or the card's updater tells."""
    method, token = users.pick("spm", lambda m: m.status in ("ACTIVE", "EXPIRED", "ERRORED")), "tok_ok"
    return of(
        users,
        method,
        lambda m: UpdatePaymentMethodDetails(
            m.method_id, "ACCOUNT_UPDATER", token, expiry_month=6, expiry_year=2026
        ),
    )


@says(2)
def check(users: Users, account: str) -> Said | None:
    method = users.pick("spm", lambda m: m.status == "ACTIVE")
    return of(users, method, lambda m: CheckPaymentMethod(m.method_id))


def _is_live(method: SavedMethod) -> bool:
    return method.status in ("ACTIVE", "EXPIRED")


# -- from elsewhere


@says(3)
def bring(users: Users, account: str) -> ImportTokenizedPaymentMethod:
    """One row on its own."""
    return ImportTokenizedPaymentMethod(f"alone-{users.number}", MAIN, _token(users, account), "card")


def _token(users: Users, account: str) -> str:
    return f"tok_elsewhere_{account}_{users.chosen.randrange(4)}"


@says(14)
def migrate(users: Users, account: str) -> Said:
    """The next step of a job; now and then it is called off."""
    going = users.pick_id("tokmig", lambda job: job.status in BEFORE_THE_END)
    job_id = going or f"J{users.chosen.randrange(JOBS)}"
    job = users.seen.of["tokmig"].get(job_id) or TokenMigrationJob()
    if job.status in ("READY", "RUNNING") and users.chosen.random() < 0.1:
        command: object = CancelTokenMigration(job_id, "not now")
    else:
        command = _next_step(users, job_id, job)
    return Said(command, home_of(job_id), f"migrate {users.number}")


def _next_step(users: Users, job_id: str, job: TokenMigrationJob) -> object:
    match job.status:
        case "CREATED":
            return ValidateTokenMigration(job_id)
        case "VALIDATING":
            return ReportTokenMigration(job_id, ROWS, {})
        case "READY":
            return StartTokenMigration(job_id)
        case "RUNNING":
            return ImportRows(job_id, *_chunk(users, job_id, 1 if 1 not in job.chunks else 2))
        case _:
            mode = "UPSERT" if job_id == "J0" else "INSERT_ONLY"
            return CreateTokenMigration(job_id, ROWS, mode, strict=job_id != "J1", verify=job_id != "J2")


def _chunk(users: Users, job_id: str, chunk_no: int) -> tuple[int, tuple[MigrationRow, ...]]:
    """Of J3 every row can be taken; elsewhere some accounts and tokens are others'."""
    return chunk_no, tuple(_rows(users, job_id, range((chunk_no - 1) * 3 + 1, chunk_no * 3 + 1)))


def _rows(users: Users, job_id: str, numbers: range) -> Iterator[MigrationRow]:
    for number in numbers:
        external_id = f"{job_id}-{number}"
        if job_id == "J3":
            own = TokenizedMethod(external_id, MAIN, f"tok_own_{number}", "card")
            yield MigrationRow(number, ACCOUNTS[number % len(ACCOUNTS)], own)
        else:
            account = users.chosen.choice((*ACCOUNTS, "A8"))
            token = _token(users, users.chosen.choice(ACCOUNTS))
            row = TokenizedMethod(external_id, MAIN, token, "card", is_default=number == 3)
            yield MigrationRow(number, account, row)


# -- what is wrong


@provokes("MANDATE_REQUIRED")
def without_consent(users: Users, account: str) -> SavePaymentMethod:
    return SavePaymentMethod(MAIN, "tok_ok", "card", f"unasked-{account}", merchant_created=True)


@provokes("METHOD_DUPLICATE")
def token_of_somebody_else(users: Users, account: str) -> ImportTokenizedPaymentMethod:
    return ImportTokenizedPaymentMethod(f"duplicate-{users.number}", MAIN, "tok_everybodys", "card")


@provokes("TOKEN_MIGRATION_NOT_FOUND")
def unknown_job(users: Users, account: str) -> Said:
    return Said(StartTokenMigration("no-such"), home_of("no-such"), f"no job {users.number}")


@provokes("TOKEN_MIGRATION_EXISTS")
def known_job(users: Users, account: str) -> Said:
    return Said(CreateTokenMigration("J0", ROWS + 1), home_of("J0"), f"known job {users.number}")


@provokes("default of a contact's")
def default_of_a_contacts(users: Users, account: str) -> Said | None:
    method = users.pick("spm", lambda m: m.owner_type == "CONTACT")
    return of(users, method, lambda m: SetDefaultPaymentMethod(m.method_id))


@provokes("charged while it waits")
def too_early(users: Users, account: str) -> Said | None:
    method = users.pick("spm", lambda m: m.status in ("AWAITING", "ERRORED"))
    return of(users, method, lambda m: ProcessPayment(POUND, method_id=m.method_id))
