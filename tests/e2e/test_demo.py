"""The main job, as a new user runs it; and again over the same folder, killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def demo(folder: Path) -> list[str]:
    return [sys.executable, "-m", "services.cli", "demo", f"--data-dir={folder}", "--output=json"]


def report(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return json.loads(done.stdout)


def test_a_demo_killed_in_the_middle_and_run_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    first = subprocess.Popen(demo(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ledger = tmp_path / "simulator" / "ledger.jsonl"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not ledger.exists() or ledger.read_bytes().count(b"\n") < 100):
        assert first.poll() is None
        time.sleep(0.02)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    done = subprocess.run(demo(tmp_path), capture_output=True, text=True, timeout=600, check=False)
    told = report(done)
    assert all(check["ok"] for check in told["checks"])  # type: ignore[attr-defined]
    assert not any(check["violations"] for check in told["verify"])  # type: ignore[attr-defined]
    figures, gateway = told["figures"], told["gateway"]["GBP"]  # type: ignore[index]
    assert gateway["taken"] == figures["captured"]["amount"]  # type: ignore[index]
    assert gateway["given_back"] == figures["refunded"]["amount"]  # type: ignore[index]
    months: Any = told["three_months"]
    assert all(check["ok"] for check in months["checks"])
    sold, recovered = months["figures"]["sold"], months["figures"]["other card"]
    assert (sold["count"], sold["amount"]) == (121, 4_637_649)
    assert recovered["amount"] > 0
    assert months["gateway"]["GBP"]["taken"] == sold["amount"] - months["figures"]["open"]["amount"]
