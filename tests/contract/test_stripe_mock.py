"""The Stripe adapter's requests against `stripe-mock`, which checks each by Stripe's OpenAPI document.

It keeps nothing, so it proves shapes only.  Found on the PATH, else installed with Go; skipped without both.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from events.gateway_call import MicroDeposits
from gateways.conformance.checks.detail import LEVEL3
from gateways.credentials import Credential
from gateways.stripe import translation
from gateways.stripe.adapter import StripeAdapter
from tests.fixtures.gateways.asking import planned

MODULE = "github.com/stripe/stripe-mock@v0.203.0"


def program() -> str:
    if found := shutil.which("stripe-mock"):
        return found
    go = shutil.which("go")
    if go is None:
        pytest.skip("neither stripe-mock nor Go is installed: shapes of Stripe's requests are not checked")
    kept = Path.home() / ".cache" / "tender-tests" / MODULE.rpartition("/")[2]
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as place:
            environment = os.environ | {"GOBIN": place}
            command = [go, "install", MODULE]
            made = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
            if made.returncode:
                pytest.skip(f"Go cannot install stripe-mock: {made.stderr.strip()[-200:]}")
            os.replace(Path(place) / "stripe-mock", kept)
    return str(kept)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def mock_url() -> Iterator[str]:
    port = free_port()
    own = f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}"  # its TLS port would be the same for two of them
    command = [program(), "-http-addr", own[0], "-https-addr", own[1], "-strict-version-check=false"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        else:
            pytest.fail("stripe-mock does not listen")
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(10)


@pytest.fixture
async def adapter(mock_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StripeAdapter]:
    monkeypatch.setenv("STRIPE_MOCK", "sk_test_123")
    made = StripeAdapter({"base_url": mock_url}, 2000, 5000, Credential("env:STRIPE_MOCK"))
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        ("AUTHORIZE", {}),
        ("SALE", {}),
        ("SALE", {"enhanced": LEVEL3}),
        ("SALE", {"initiator": "CUSTOMER", "is_first_in_series": True}),
        ("CAPTURE", {"authorization_ref": "pi_123"}),
        ("CAPTURE", {"authorization_ref": "pi_123", "enhanced": LEVEL3}),
        ("REVERSE", {"authorization_ref": "pi_123"}),
        ("REFUND", {"payment_ref": "pi_123"}),
        ("TOKENIZE", {}),
        ("VERIFY", {"payment_ref": "seti_123", "micro_deposits": MicroDeposits((32, 45))}),
        ("VERIFY", {"payment_ref": "seti_123", "micro_deposits": MicroDeposits((), "SM11AA")}),
    ],
)
async def test_stripe_takes_the_form_of_each_request(
    adapter: StripeAdapter, operation: str, told: dict[str, object]
) -> None:
    """A wrong parameter is answered with 400, which no canned answer of the mock is."""
    outcome = await adapter.call(planned(operation, **told))
    assert outcome.result_code != "SystemError"
    assert outcome.raw_code not in ("invalid_request_error", "parameter_unknown"), outcome.raw_message
    assert not (outcome.raw_message or "").startswith("HTTP")


async def test_a_parameter_that_stripe_does_not_know_is_found_out(
    adapter: StripeAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    rightly = translation.creation
    monkeypatch.setattr(translation, "creation", lambda request: rightly(request) | {"bogus": 1})
    assert (await adapter.call(planned("SALE"))).raw_code == "invalid_request_error"


@pytest.mark.parametrize("operation", ["SALE", "CAPTURE", "REVERSE", "REFUND"])
async def test_stripe_takes_the_form_of_each_inquiry(adapter: StripeAdapter, operation: str) -> None:
    found = await adapter.query(planned(operation, authorization_ref="pi_123", payment_ref="pi_123"))
    assert found is None or not (found.raw_message or "").startswith("the inquiry failed")
