"""Personal data: sealed where it is marked, readable with its subject's key, erased without."""

from __future__ import annotations

import stat
from pathlib import Path

import orjson
import pytest

from events.account import AccountRegistered, BillingProfileDefined
from events.catalog import FACTS
from events.enhanced import EnhancedData
from events.mapper import FactMapper, decode, encode, topic_of
from events.money import Money
from events.payment import PaymentCanceled
from events.personal import (
    ERASED,
    SEALED,
    SubjectKey,
    has_personal_data,
    is_sealed,
    opened,
    personal_paths,
    reveal,
    sealed,
)
from events.shapes import Address
from services.accounts import account
from services.accounts.account import ErasePersonalData, RegisterAccount
from services.accounts.billing_profile import DefineBillingProfile, UpdateBillingProfile
from services.accounts.payment_method import SavedMethod, SavePaymentMethod
from services.keys import FILE, KeyEncryption, UnknownKeyEncryptionKey, in_folder
from tests.fixtures.keys import KEY_TEXT, KEYS
from tests.spec import Spec

KEY = SubjectKey("t/A", bytes(64))
OTHER = SubjectKey("t/B", bytes(64))
HOME = Address("1 High Street", city="Oslo", region="Oslo", postal_code="0150", country="NO")
PROFILE = BillingProfileDefined("home", "Home", True, 31, "Ada", HOME)


# -- which fields


def test_what_is_personal_is_marked_on_the_fact() -> None:
    marked = {topic: set(personal_paths(fact)) for topic, fact in FACTS.items() if personal_paths(fact)}
    address = {"line1", "line2", "city", "postal_code"}
    profile = {("bill_to_contact",)}
    profile |= {(name, part) for name in ("billing_address", "shipping_address") for part in address}
    method = {("holder_name",), ("holder_email",), ("nickname",)}
    method |= {("billing_address", part) for part in address}
    known = ("email", "ip_address", "mac_address", "phone", "device_fingerprint")
    payer = {("fraud_context", name) for name in known}
    assert marked == {
        "payment_method.saved.v4": method,
        "payment_method.imported.v2": method,
        "account.registered.v2": {("name",)},
        "account.billing_profile_defined.v2": profile,
        "account.billing_profile_updated.v2": profile,
        "payment_method.tokenization_requested.v1": method,
        "payment_method.mandate_recorded.v1": {("ip",)},
        "payment_method.details_updated.v1": method,
        "payment.requested.v3": payer,
        "authorization.requested.v4": payer,
        "gateway_call.planned.v4": payer | {("enhanced", "ship_to_postal_code")},
    }
    assert personal_paths(EnhancedData) == (("ship_to_postal_code",),)


def test_a_fact_without_personal_data_is_encoded_as_ever() -> None:
    fact = PaymentCanceled(Money(1, "USD"))
    assert not has_personal_data(fact)
    assert not has_personal_data(BillingProfileDefined("home", "Home", True, 31, billing_address=Address()))
    assert opened(encode(fact), KEY) == encode(fact)


# -- sealing


def test_marked_texts_are_sealed_and_the_rest_is_readable() -> None:
    data = sealed(PROFILE, KEY)
    said = orjson.loads(data)
    assert is_sealed(data)
    assert (said["profile_id"], said["name"]) == ("home", "Home")
    assert (said["billing_address"]["region"], said["billing_address"]["country"]) == ("Oslo", "NO")
    texts = [said["bill_to_contact"], *(said["billing_address"][part] for part in ("line1", "city"))]
    assert all(text.startswith(SEALED) for text in texts)
    assert "line2" not in said["billing_address"]
    assert decode(topic_of(PROFILE), opened(data, KEY)) == PROFILE


def test_a_fact_is_sealed_to_the_same_bytes_each_time() -> None:
    assert sealed(PROFILE, KEY) == sealed(PROFILE, KEY)


@pytest.mark.parametrize("text", ["", "Ada", "\u00c5se \U0001f600", f"{SEALED}AAAA", "[erased]", "x" * 1000])
def test_any_text_comes_back_as_it_was(text: str) -> None:
    assert reveal(KEY.seal(text), KEY) == text


def test_without_the_key_it_is_erased_and_the_fact_stays_whole() -> None:
    read = decode(topic_of(PROFILE), opened(sealed(PROFILE, KEY), None))
    gone = Address(ERASED, city=ERASED, region="Oslo", postal_code=ERASED, country="NO")
    assert read == BillingProfileDefined("home", "Home", True, 31, ERASED, gone)


def test_what_is_sealed_for_one_account_is_nothing_for_another() -> None:
    stolen = KEY.seal("Ada")
    assert reveal(stolen, OTHER) == stolen
    assert reveal("no seal", KEY) == "no seal"
    assert reveal(f"{SEALED}!", KEY) == f"{SEALED}!"


def test_what_was_recorded_before_there_were_seals_is_read_as_it_is() -> None:
    assert opened(encode(PROFILE), KEY) == opened(encode(PROFILE), None) == encode(PROFILE)


def test_the_library_s_mapper_seals_and_opens() -> None:
    stored = FactMapper(KEY).fact_to_stored_event("t/account-A", 1, PROFILE)
    assert b"High Street" not in stored.state
    assert FactMapper(KEY).stored_event_to_fact(stored) == PROFILE
    assert FactMapper(None).stored_event_to_fact(stored).bill_to_contact == ERASED


# -- the key-encryption key


def test_a_subject_s_key_is_wrapped_and_unwrapped() -> None:
    made, key = KEYS.make("t/A")
    assert KEYS.unwrap(made).unseal(key.seal("Ada")) == "Ada"
    assert KEYS.make("t/A")[0].wrapped != made.wrapped


def test_a_wrapped_key_is_bound_to_its_home_and_to_its_key_encryption_key() -> None:
    made, _ = KEYS.make("t/A")
    with pytest.raises(UnknownKeyEncryptionKey):
        KEYS.unwrap(made._replace(home="t/B"))
    with pytest.raises(UnknownKeyEncryptionKey, match="TENDER_KEY_ENCRYPTION_KEY"):
        KeyEncryption([bytes(32)]).unwrap(made)


def test_a_new_key_encryption_key_wraps_while_the_old_one_still_unwraps(tmp_path: Path) -> None:
    old, _ = KEYS.make("t/A")
    both = KeyEncryption.parsed(f"{in_folder(tmp_path)},{KEY_TEXT}")
    assert both.unwrap(old).unseal(KEYS.unwrap(old).seal("Ada")) == "Ada"
    assert both.make("t/A")[0].kek_id == both.current != KEYS.current


@pytest.mark.parametrize("text", ["", "secret", KEY_TEXT[:-8], f"{KEY_TEXT},"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        KeyEncryption.parsed(text)


def test_a_data_folder_gets_one_key_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    made = in_folder(folder)
    assert in_folder(folder) == made
    assert stat.S_IMODE((folder / FILE).stat().st_mode) == 0o600
    assert [file.name for file in folder.iterdir()] == [FILE]
    assert KeyEncryption.parsed(made)


# -- erasing


def known() -> Spec:
    spec = Spec().when(RegisterAccount("Ada Lovelace")).then_accepted()
    define = DefineBillingProfile("home", "Home", 31, is_default=True, shipping_address=HOME)
    return spec.when(define).then_accepted()


def erased() -> Spec:
    return known().when(ErasePersonalData("she asked for it"))


def test_erasing_is_one_fact_and_happens_once() -> None:
    from events.account import PersonalDataErased

    spec = erased().then((account.Account, "A", PersonalDataErased("she asked for it")))
    spec.when(ErasePersonalData()).then_nothing()
    Spec().when(ErasePersonalData()).then_rejected("ACCOUNT_NOT_FOUND")


def test_what_was_recorded_before_reads_as_erased() -> None:
    spec = erased()
    first = next(event for event in spec.events() if event.topic == "account.registered.v2")
    assert b"Ada" not in first.data
    assert spec.all_facts()[0] == AccountRegistered("A", ERASED)


def test_the_state_is_the_same_from_the_cache_and_from_the_log() -> None:
    state = erased().state(account.Account, "A")
    assert (state.erased, state.addresses) == (True, {"home": None})


def test_an_erased_account_takes_no_more_personal_data_and_everything_else() -> None:
    from tests.journey import Journey, line

    j = Journey()
    j.when(ErasePersonalData()).then_accepted()
    for command in (
        DefineBillingProfile("p", "P", 1, bill_to_contact="Ada"),
        DefineBillingProfile("p", "P", 1, billing_address=HOME),
        SavePaymentMethod("gw", "tok_c", "card", holder_name="Ada"),
        SavePaymentMethod("gw", "tok_c", "card", nickname="mine"),
    ):
        j.when(command).then_rejected("PERSONAL_DATA_ERASED")
    j.when(DefineBillingProfile("p", "P", 1)).then_accepted()
    j.when(UpdateBillingProfile("p", "P", 1, shipping_address=HOME)).then_rejected("PERSONAL_DATA_ERASED")
    j.when(SavePaymentMethod("gw", "tok_c", "card")).then_accepted()
    invoice = j.post("INV", line("1", "10.00"))
    j.pay("P", "10.00", invoice)
    assert j.balances(invoice)["status"] == "SETTLED"


def test_a_method_saved_again_is_compared_with_what_was_sealed() -> None:
    spec = known()
    from services.calls.gateway import RegisterGateway
    from services.calls.provider import RegisterGatewayProvider
    from tests.journey import EVERYTHING

    spec.when(RegisterGatewayProvider("sim", "Simulator", "simulator", EVERYTHING)).then_accepted()
    spec.when(RegisterGateway("gw", "Main", "sim", "env:NONE", "m1", "TEST")).then_accepted()
    save = SavePaymentMethod("gw", "tok", "card", holder_name="Ada", billing_address=HOME)
    spec.when(save).then_accepted()
    assert spec.state(SavedMethod, spec.last_id(SavedMethod)).holder_name == "Ada"
    spec.when(save).then_nothing()
