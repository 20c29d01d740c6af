"""`tender clock`: what time it is here, and moving it ahead, so that months of collection pass in seconds."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.text import Text

from services.cli.output import Output, console, progress, tell_json
from services.cli.sending import asked_over_http
from services.cli.session import DataDir, fail

clock = App(name="clock", help="What time it is here, and moving it ahead: embedded servers only.")

LOOK_SECONDS = 0.1


@clock.command
def show(*, data_dir: DataDir = None, output: Output = "table") -> None:
    """What time it is, and how far it was moved."""
    _tell(_asked("GET", "", data_dir), output)


@clock.command
def advance(
    *,
    by: Annotated[str | None, Parameter(help="How far: 3d, 12h, 90m, 2w1d.")] = None,
    to: Annotated[str | None, Parameter(help="Until when: 2026-12-01, or 2026-12-01T12:00:00Z.")] = None,
    wait: Annotated[bool, Parameter(help="Wait until it is there.")] = True,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Move time ahead, and let happen on the way what is due, each at its time.

    It goes from one due thing to the next, and on when all that followed is done. Never back. It needs the
    embedded servers and the simulator; real gateways live in real time.

    Examples:

        tender clock advance --by 3d
        tender clock advance --to 2026-12-01
    """
    wanted = {name: given for name, given in (("by", by), ("to", to)) if given is not None}
    told = _asked("POST", "/advance", data_dir, wanted)
    _tell(_arrived(told, data_dir) if wait else told, output)


@clock.command
def stop(*, data_dir: DataDir = None, output: Output = "table") -> None:
    """Stay where time has come to, and go on from there as time does."""
    _tell(_asked("POST", "/stop", data_dir, {}), output)


def _arrived(told: dict[str, Any], data_dir: DataDir) -> dict[str, Any]:
    """What is told once nothing moves any more."""
    begun, target = _at(told["now"]), told["moving_to"]
    whole = _days(_at(target) - begun) if target else 0
    with progress() as shown:
        task = shown.add_task("days", total=whole)
        while told["moving_to"]:
            waits = ", ".join(f"{count:,} {name}" for name, count in told["waits_for"].items())
            shown.update(task, description=f"{told['now'][:16]} {waits}", completed=_passed(told, begun))
            time.sleep(LOOK_SECONDS)
            told = _asked("GET", "", data_dir)
        shown.update(task, description=f"{told['now'][:16]} days", completed=min(whole, _passed(told, begun)))
    return told


def _passed(told: dict[str, Any], begun: datetime) -> int:
    return _days(_at(told["now"]) - begun)


def _days(span: timedelta) -> int:
    return round(span / timedelta(days=1))


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _asked(method: str, path: str, data_dir: DataDir, body: Any = None) -> dict[str, Any]:
    answer = asked_over_http(method, f"/v1/clock{path}", data_dir, body)
    told = answer.json()
    if not answer.is_success:
        fail(f"{told['code']}: {told['message']}")
    return told


def _tell(told: dict[str, Any], output: Output) -> None:
    if output == "json":
        tell_json(told)
        return
    days, hours = divmod(round(told["ahead_seconds"] / 3600), 24)
    ahead = f", {days:,} days and {hours} hours ahead of this machine" if told["ahead_seconds"] else ""
    console.print(Text(f"{told['now'][:19]}Z{ahead}"), soft_wrap=True)
    if told["moving_to"]:
        console.print(Text(f"on its way to {told['moving_to'][:19]}Z", "yellow"))
    if not told["movable"]:
        console.print(Text("it cannot be moved: something here is not embedded", "dim"))
