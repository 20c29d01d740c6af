"""Planted mistakes: each changes one place of the product, and the simulation must catch it.

    python -m tests.simulation.mutants [--seeds 300] [--only NAME]

A mutant lives in a copy of the source, never in the working tree.  One copy has no mistake planted:
it must survive, or what "catches" the others is something else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
COPIED = ("events", "services", "projections", "gateways", "deploy", "tests")


HANG_SECONDS = 240
"""All seeds together take less: what takes this long goes round for ever, and nobody has caught it."""
CONTROL_SEEDS = 20


class Mutant(NamedTuple):
    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant(
        "a timer of before a pause fires",
        "services/schedulers/firing.py",
        "    if scheduler.next_run_at != command.planned_at:\n",
        "    if scheduler.next_run_at is None:\n",
    ),
    Mutant(
        "a planned day is forgotten",
        "services/schedulers/firing.py",
        "recurrence.next_after(scheduler.times, planned_at),",
        "recurrence.next_after(scheduler.times, planned_at + timedelta(days=2)),",
    ),
    Mutant(
        "send without its data what may have been executed",
        "services/calls/resending.py",
        '    refused = settled.verdict == "FAILED" and settled.outcome.result_code == DATA_REJECTED\n',
        '    refused = settled.verdict in ("FAILED", "UNKNOWN")\n',
    ),
    Mutant(
        "purchase detail is not added up",
        "services/payments/enhancing.py",
        "    return net + tax == amount and sum(line.tax_minor for line in lines) == tax\n",
        "    return True\n",
    ),
    Mutant(
        "skip the fingerprint",
        "services/answers.py",
        "if verdict.fingerprint != command.fingerprint:",
        "if False:",
    ),
    Mutant(
        "forget the inbox",
        "services/handler.py",
        "        known = await self._store.verdicts([item.command.command_id for item in attempt.items])\n",
        "        known = {}\n",
    ),
    Mutant(
        "acknowledge before the append",
        "services/handler.py",
        "            self._flight = _Flight(",
        "            landed([])\n            self._flight = _Flight(",
    ),
    Mutant(
        "keep the cache after a failed append",
        "services/attempt.py",
        "        self.cache.evict(self.touched, {touched.home for touched in self.touched.values()})\n",
        "        pass\n",
    ),
    Mutant(
        "send what was taken over",
        "services/workers.py",
        "        if work.taken_over:\n",
        "        if False:\n",
    ),
    Mutant(
        "an unknown outcome is a failure",
        "gateways/outcomes.py",
        '    return Outcome("Indeterminate", category="GatewayConnection", raw_message=why)',
        '    return Outcome("Decline", category="GatewayConnection", raw_message=why)',
    ),
    Mutant(
        "a lost answer was never sent",
        "gateways/simulator/translation.py",
        '        return unknown("no answer came")\n',
        '        return Outcome("PermanentFail", category="PaymentProcessing")\n',
    ),
    Mutant(
        "a leg releases its money before the fallback",
        "services/refunds/refund_outcomes.py",
        "            else:\n                release(draft, refund)\n",
        "            release(draft, refund)\n",
    ),
    Mutant(
        "a refund reserves nothing",
        "services/payments/payment.py",
        "            payment.refund_reserved += event.amount.amount_minor\n",
        "            pass\n",
    ),
    Mutant(
        "apply without looking at the invoice",
        "services/payments/placing.py",
        "amount = min(wanted, payment.unapplied, room)",
        "amount = min(wanted, payment.unapplied)",
    ),
    Mutant(
        "a failed refund keeps its reservation",
        "services/refunds/refund_outcomes.py",
        "            else:\n                release(draft, refund)\n",
        "            else:\n                pass\n",
    ),
    Mutant(
        "the orchestration does not wait for payments",
        "services/orchestrations/orchestrating.py",
        "    if behind or payments:\n",
        "    if behind:\n",
    ),
    Mutant(
        "the last leg takes too much",
        "services/orchestrations/planning.py",
        "refund = min(source.eligible, left)",
        "refund = source.eligible",
    ),
    Mutant(
        "processes forget what they were at",
        "services/process_runner.py",
        "            outbox = await self._react(events)\n",
        "            outbox = await self._react(events[:1])\n",
    ),
    Mutant(
        "a late lease answers what is due now",
        "services/store/memory.py",
        "if key in self._work and self._work[key].holder == holder:",
        "if key in self._work:",
    ),
    Mutant(
        "the read set is not compared",
        "services/store/memory.py",
        "        if streams or homes:\n            raise ReadSetMoved",
        "        if False:\n            raise ReadSetMoved",
    ),
    Mutant(
        "the projector says that it saw one event more",
        "projections/runner.py",
        "            await self._rows.write(schema, self._cache, touched, self._new, after, events[-1].position)\n",
        "            await self._rows.write(schema, self._cache, touched, self._new, after, events[-1].position + 1)\n",
    ),
    Mutant(
        "apply money that is spent",
        "services/applications/guards.py",
        "    if asked.amount_minor > payment.unapplied:\n",
        "    if False:\n",
    ),
    Mutant(
        "call before the intent is in the log",
        "services/store/memory.py",
        "        self._check(batch)\n        first = len(self._log) + 1\n",
        "        self._change_work(batch)\n        self._check(batch)\n        first = len(self._log) + 1\n",
    ),
    Mutant(
        "the relay forgets commands",
        "services/relay.py",
        "self._topics.commands, self._seal) for command in due]\n",
        "self._topics.commands, self._seal) for command in due[:-1]]\n",
    ),
    Mutant(
        "apply twice",
        "services/applications/applying.py",
        "    return application.place(payment, invoice, shares, why, context)\n",
        "    return application.place(payment, invoice, shares, why, context) * 2\n",
    ),
    Mutant(
        "a locked invoice is anybody's",
        "services/applications/guards.py",
        "def check_unlocked(invoice: Invoice) -> None:\n    if invoice.locked_by is not None:\n",
        "def check_unlocked(invoice: Invoice) -> None:\n    if False:\n",
    ),
    Mutant(
        "a locked memo is anybody's",
        "services/applications/guards.py",
        "    if memo.locked_by is not None:\n",
        "    if False:\n",
    ),
    Mutant(
        "a move forgets to take off",
        "services/applications/allocating.py",
        "    _take_off(draft, command, taken, context)\n",
        "",
    ),
    Mutant(
        "a refund that came back is no news before it went out",
        "services/calls/calling.py",
        "        return _came_back(call, report)\n",
        "        return Settled('REVERSED' if call.status == 'SUCCEEDED' else 'NOTHING', outcome, [])\n",
    ),
    Mutant(
        "a failure that is told after a success is believed",
        "services/calls/calling.py",
        '"LATE_SUCCESS" if code == "Success" else "CONTRADICTED"',
        '"LATE_SUCCESS" if code == "Success" else "FAILED"',
    ),
    Mutant(
        "send again what a gateway without keys was sent",
        "services/calls/calling.py",
        "    silent = can.idempotency and not can.query_by_reference\n",
        "    silent = True\n",
    ),
    Mutant(
        "a dispute holds what is no longer there",
        "services/disputes/disputing.py",
        "    held = Money(min(command.amount.amount_minor, free), payment.currency)\n",
        "    held = Money(max(command.amount.amount_minor, free), payment.currency)\n",
    ),
    Mutant(
        "a bank takes back what was refunded before",
        "services/payments/returning.py",
        "        returned=Money(here, payment.currency),\n",
        "        returned=Money(payment.received, payment.currency),\n",
    ),
    Mutant(
        "whoever asked for a refund approves it",
        "services/refunds/approving.py",
        "    if refund.requested_by == context.actor.id:\n",
        "    if False:\n",
    ),
    Mutant(
        "a refund that is rejected keeps its money",
        "services/refunds/approving.py",
        "        refund_outcomes.release(draft, refund)\n",
        "        pass\n",
    ),
    Mutant(
        "a refund is said of more than it gave back",
        "services/refunds/lining.py",
        "    if command.amount.amount_minor > refund.balance:\n",
        "    if False:\n",
    ),
    Mutant(
        "a rule settles more than is owed",
        "services/applications/rule_applying.py",
        "min(application.free(source), invoice.balance)",
        "application.free(source)",
    ),
)


CONTROL = Mutant("nothing planted", "", "", "")


def places(mutant: Mutant, root: Path = ROOT) -> int:
    """Where in the source it could be planted: at one place, or it must be planted anew."""
    target = root / mutant.file
    return target.read_text().count(mutant.old) if target.exists() else 0


def _plant(mutant: Mutant, root: Path) -> None:
    assert places(mutant, root) == 1, f"{mutant.name}: {mutant.file} has changed; plant it anew"
    target = root / mutant.file
    target.write_text(target.read_text().replace(mutant.old, mutant.new))


def caught(mutant: Mutant, seeds: int) -> tuple[Mutant, str | None]:
    """How the simulation caught a mutant within some seeds, or None."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        for name in COPIED:
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__"))
        if mutant is not CONTROL:
            _plant(mutant, Path(folder))
        command = [sys.executable, "-c", _HUNT, str(seeds)]
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=HANG_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return mutant, None
        lines = done.stdout.strip().splitlines()
        return mutant, lines[-1][:160] if done.returncode == 1 and lines else None


_HUNT = """
import sys
from tests.simulation.__main__ import collect_between_seeds, survive
collect_between_seeds()
for seed in range(1, int(sys.argv[1]) + 1):
    _, told, why = survive(seed)
    if told is None:
        print(f"seed {seed}: {why.splitlines()[0]}")
        sys.exit(1)
"""


def main(seeds: int, only: str | None, jobs: int) -> int:
    chosen = [mutant for mutant in MUTANTS if only in (None, mutant.name)]
    escaped = 0
    _, false_alarm = caught(CONTROL, CONTROL_SEEDS)
    if false_alarm:
        print(f"nothing was planted, and yet: {false_alarm}")
        return 1
    with ThreadPoolExecutor(jobs) as pool:
        for mutant, how in pool.map(lambda one: caught(one, seeds), chosen):
            escaped += how is None
            print(f"{'caught ' if how else 'ESCAPED'} {mutant.name}: {how or f'{seeds} seeds'}", flush=True)
            if how is None:
                print(f'    python -m tests.simulation.mutants --seeds {seeds} --only "{mutant.name}"')
    print(f"{len(chosen) - escaped} of {len(chosen)} mutants caught")
    return 1 if escaped else 0


if __name__ == "__main__":
    given = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description=__doc__)
    given.add_argument("--seeds", type=int, default=300)
    given.add_argument("--only")
    given.add_argument("--jobs", type=int, default=2)
    asked = given.parse_args()
    sys.exit(main(asked.seeds, asked.only, asked.jobs))
