"""Credentials, adapters by name, and gateways that cannot be opened."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gateways import matrix, registry
from gateways.credentials import Credential, CredentialMissing
from gateways.unusable import UnusableGateway
from tests.fixtures.gateways.asking import planned


def test_a_credential_is_read_where_its_reference_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ONE_TEXT", "sk_1\n")
    assert Credential("env:ONE_TEXT").secret() == "sk_1"
    kept = tmp_path / "kept.json"
    kept.write_text('{"api_key": "sk_2", "webhook_secret": "whsec_2"}')
    credential = Credential(f"file:{kept}")
    assert (credential.secret(), credential.secret("webhook_secret")) == ("sk_2", "whsec_2")
    kept.write_text("sk_3")
    assert credential.secret() == "sk_3"


@pytest.mark.parametrize("ref", ["env:NOT_SET_ANYWHERE", "file:/no/such/file", "sk_live_pasted", ""])
def test_a_credential_that_is_not_there_names_its_place_only(ref: str) -> None:
    with pytest.raises(CredentialMissing):
        Credential(ref).secret()


def test_a_credential_never_shows_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", '{"api_key": "sk_topsecret"')
    credential = Credential("env:BROKEN")
    with pytest.raises(CredentialMissing) as missing:
        credential.secret()
    assert "topsecret" not in f"{credential!r} {missing.value!r} {missing.value.__cause__!r}"


def test_an_adapter_without_its_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("gateways.stripe")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "stripe", None)
    with pytest.raises(registry.AdapterNotInstalled, match=r"pip install 'tender-payments\[stripe\]'"):
        registry.adapter("stripe")


def test_an_unknown_adapter_says_which_there_are() -> None:
    with pytest.raises(registry.UnknownAdapter, match="adyen, gocardless, simulator, stripe"):
        registry.adapter("no_such")


@pytest.mark.parametrize("name", ["adyen", "gocardless", "stripe"])
async def test_a_missing_credential_ends_a_call_before_it_is_sent(name: str) -> None:
    settings = {"base_url": "http://127.0.0.1:9", "merchant_account": "M"}
    gateway = registry.adapter(name)(settings, 500, 500, Credential("env:NOT_SET_ANYWHERE"))
    told = await gateway.call(planned("SALE"))
    assert (told.result_code, told.raw_message) == (
        "SystemError",
        "there is no credential at env:NOT_SET_ANYWHERE",
    )
    asked = await gateway.query(planned("SALE"))
    assert asked is not None
    assert asked.result_code == "Indeterminate"
    await gateway.close()


async def test_a_gateway_that_cannot_be_opened_sends_nothing_and_says_why() -> None:
    gateway = UnusableGateway("the library is missing")
    told = await gateway.call(planned("SALE"))
    assert (told.result_code, told.raw_message) == ("SystemError", "the library is missing")
    asked = await gateway.query(planned("SALE"))
    assert asked is not None
    assert asked.result_code == "Indeterminate"


def test_the_readme_says_what_the_adapters_say() -> None:
    readme = Path(matrix.__file__).with_name("README.md").read_text()
    assert matrix.table(matrix.shipped()) in readme, "run `python -m gateways.matrix` and paste its table"
    assert set(matrix.SHIPPED) <= set(registry.names())
