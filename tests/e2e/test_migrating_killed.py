"""A migration whose worker and whose CLI are killed in the middle: it goes on, and no row is taken twice."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import asyncpg
import orjson

from tests.e2e.test_http_journey import Shop, usd
from tests.fixtures.tender import Tender

ROWS = 8_000
WAIT_SECONDS = 120.0
IMPORTED = "select count(*) from log where home = $1 and topic = 'payment_method.imported.v2'"


def a_file(folder: Path, account: str) -> Path:
    file = folder / "methods.jsonl"
    rows = (
        {
            "external_id": f"E{n}",
            "account_ref": account,
            "gateway": "gw",
            "method_type": "card",
            "token": f"tok_old_{n}",
            "holder": "Ada L",
            "expiry": "12/29",
        }
        for n in range(ROWS)
    )
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return file


def worker_of(tender: Tender) -> int:
    """The process of the role that decides: a child of `tender up`."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            words = stat.with_name("cmdline").read_bytes().split(b"\0")
            if parent == tender.process.pid and b"services.roles" in words and b"worker" in words:
                return int(stat.parent.name)
    raise AssertionError("no worker runs")


async def test_killed_in_the_middle_it_goes_on_and_no_row_is_taken_twice(
    tender: Tender, tmp_path: Path
) -> None:
    shop = Shop(tender)
    file, home = a_file(tmp_path, shop.account), f"{shop.tenant}/{shop.account}"
    command = ["tender", "import-methods", str(file), "--tenant", shop.tenant, "--output", "json"]
    connection = await asyncpg.connect(tender.settings.database_url)
    try:
        handing_in = subprocess.Popen(
            command, env=tender.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + WAIT_SECONDS
        while not await connection.fetchval(IMPORTED, home):
            assert time.monotonic() < deadline
            assert handing_in.poll() is None
        os.kill(worker_of(tender), signal.SIGKILL)
        handing_in.kill()
        handing_in.wait()
        assert 0 < await connection.fetchval(IMPORTED, home) < ROWS

        for _ in range(2):
            done = subprocess.run(
                command, env=tender.environment(), capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stderr
            told = orjson.loads(done.stdout)
            assert (told["imported"], told["rejected"], told["updated"]) == (ROWS, 0, 0)
            assert told["replayed"], "the job was handed in before, by whoever was killed"
            assert await connection.fetchval(IMPORTED, home) == ROWS
        taken = "select count(*) from claims where tenant = $1 and kind = 'method_token'"
        assert await connection.fetchval(taken, shop.tenant) == ROWS
    finally:
        await connection.close()
    verdicts = file.with_suffix(".jsonl.verdicts.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line)["row_no"] for line in verdicts] == list(range(1, ROWS + 1))
    last = orjson.loads(verdicts[-1])["method_id"]
    paid = shop.accepted(
        "payment.process", {"amount": usd(500), "method_id": last}, headers={"Prefer": "wait=20"}
    )
    assert paid["gateway"][0]["result_code"] == "Success"
