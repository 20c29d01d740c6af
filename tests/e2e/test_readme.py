"""The README's blocks do what they say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.fixtures.tender import Tender

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def block_with(words: str) -> str:
    (found,) = [block for block in BLOCKS if words in block]
    return found


def ran(tender: Tender, script: str) -> subprocess.CompletedProcess[str]:
    """What a shell made of it that stops at the first failure."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        capture_output=True,
        text=True,
        env=tender.environment(),
        timeout=240,
        check=False,
    )


def test_the_first_commands_by_hand(tender: Tender) -> None:
    by_hand = block_with("account.register")
    script = by_hand.replace(". .venv/bin/activate\n", "").replace("http://127.0.0.1:8080", tender.url)
    done = ran(tender, script.replace("tender send ", f"tender send --url {tender.url} "))
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^ACCEPTED", done.stdout, re.MULTILINE)) == 3
    assert '"settlement_status":"NOT_SETTLED"' in done.stdout
    assert "wire 4711" in done.stdout or "108.00 USD" in done.stdout


def test_a_card_and_some_of_it_back(tender: Tender) -> None:
    """The account is there from the first commands, whichever test was first."""
    account = 'tender send account.register \'{"name": "Ada"}\' --account A-1 || true\n'
    done = ran(tender, account + block_with("gateways add"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the gateway: Success") == 2
    assert "20.00 USD" in done.stdout


def test_money_that_collects_itself(tender: Tender) -> None:
    """In a tenant of its own; what asks about one item, or for a rule set of one's own, needs them first."""
    blocks = [
        block_with(words)
        for words in ("apply_preset", "schedulers create", "runs preview", "retry-policy match")
    ]
    lines = [
        line for line in "".join(blocks).splitlines() if "retries why" not in line and "patient" not in line
    ]
    script = "\n".join(f"{line} --tenant readme" for line in lines)
    done = ran(tender, script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ACCEPTED") == 3
    assert "NOT_A_BUSINESS_DAY" in done.stdout or "T02:30:00" in done.stdout


def test_make_targets_that_the_readme_names_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make (\w+)", "\n".join(BLOCKS), re.MULTILINE))
    assert named == {"demo", "test", "up"}
    assert named <= targets


def test_every_place_that_the_readme_points_to_exists() -> None:
    text = (ROOT / "README.md").read_text()
    places = [place for place in re.findall(r"\]\(([^)]+)\)", text) if not place.startswith("http")]
    assert places
    for place in places:
        file, _, heading = place.partition("#")
        assert (ROOT / file).exists(), place
        assert not heading or heading in _headings(ROOT / file), place


def _headings(file: Path) -> set[str]:
    """As links name them."""
    found = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in found}
