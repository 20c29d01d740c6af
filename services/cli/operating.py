"""`tender projections`, `parked`, `dead-letters`: what an operator looks after."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from cyclopts import App, Parameter

from projections.rebuild import rebuild
from services.cli.output import Output, console, progress, show, tell_json
from services.cli.session import DataDir, attached_store, clock_of, reading, run
from services.commands import Actor
from services.documents import contracts
from services.handler import Handler
from services.signing_in import joining
from services.subjects import SUBJECTS
from services.unparking import drop, release

parked = App(name="parked", help="Commands that poisoned their key, and what waits behind them.")
projections = App(name="projections", help="Read models: where they stand, and building them anew.")
dead_letters = App(name="dead-letters", help="Records that were no commands.")

Home = Annotated[str, Parameter(help="The key, as `tender parked list` shows it: acme/A-1.")]


@projections.command
def status(*, data_dir: DataDir = None, output: Output = "table") -> None:
    """How far the read models have come."""

    async def ask() -> dict[str, Any]:
        async with reading(data_dir) as (store, rows):
            active, (head, _) = await rows.active(), await store.head()
            at = await rows.position(active)
            return {"schema": active, "position": at, "log": head, "behind": head - at}

    show([run(ask())], output)


@projections.command(name="rebuild")
def rebuild_all(
    *,
    data_dir: DataDir = None,
    switch: Annotated[bool, Parameter(help="Switch readers over when nothing differs.")] = True,
    force: Annotated[bool, Parameter(help="Switch although rows differ: what was live was wrong.")] = False,
    output: Output = "table",
) -> None:
    """Build all read models anew beside the live ones, compare row by row, and switch if nothing differs.

    Ends with 1 when rows differ; each is named with what it held and what it should hold.

    Examples:

        tender projections rebuild --no-switch      # only compare
        tender projections rebuild --force          # the live ones are wrong: take the new ones
    """

    async def ask() -> dict[str, Any]:
        async with reading(data_dir) as (store, rows):
            with progress() as shown:
                task = shown.add_task("events", total=None)
                told = await rebuild(
                    store,
                    rows,
                    switch=switch,
                    force=force,
                    progress=lambda done, of: shown.update(task, completed=done, total=of),
                )
        differences = [
            {"table": d.table, "key": list(d.key), "column": name, "live": live, "rebuilt": made}
            for d in told.differences
            for name, (live, made) in d.columns.items()
        ]
        return {
            "events": told.events,
            "rows": told.rows,
            "differing_rows": len(told.differences),
            "switched": told.switched,
            "added": told.added,
            "differences": differences,
        }

    told = run(ask())
    if output == "json":
        tell_json(told)
    else:
        show([{name: value for name, value in told.items() if name != "differences"}], output)
        if told["differences"]:
            show(told["differences"], output)
    raise SystemExit(1 if told["differences"] else 0)


@parked.command(name="list")
def list_parked(*, data_dir: DataDir = None, output: Output = "table") -> None:
    """Which keys are parked, and why."""

    async def ask() -> list[dict[str, Any]]:
        async with attached_store(data_dir) as (_, store):
            return [{"home": home, "reason": reason} for home, reason in (await store.parked_homes()).items()]

    show(run(ask()), output)


@parked.command(name="show")
def show_parked(home: Home, *, data_dir: DataDir = None, output: Output = "table") -> None:
    """The commands that wait behind a key, in order."""

    async def ask() -> list[dict[str, Any]]:
        async with attached_store(data_dir) as (_, store):
            commands = await store.parked_commands(home)
            return [
                {
                    "command_id": c.command_id,
                    "type": c.type,
                    "at": c.at,
                    "reason": c.reason,
                    "body": c.body.decode("utf-8", "replace"),
                }
                for c in commands
            ]

    show(run(ask()), output, ("command_id", "type", "at", "reason"))


@parked.command(name="release")
def release_parked(home: Home, *, data_dir: DataDir = None, output: Output = "table") -> None:
    """Decide a key's parked commands anew, in order; 1 when one of them still cannot be decided."""

    async def ask() -> dict[str, Any]:
        async with attached_store(data_dir) as (settings, store):
            handler = Handler(store, SUBJECTS, clock_of(data_dir), guard=joining.guard(settings))
            decided = await release(store, handler, home)
            return {"decided": decided, "still_parked": len(await store.parked_commands(home))}

    told = run(ask())
    show([told], output)
    raise SystemExit(1 if told["still_parked"] else 0)


@parked.command(name="drop")
def drop_parked(
    home: Home,
    command_id: UUID,
    *,
    reason: Annotated[str, Parameter(help="Why it is given up; it is recorded.")],
    actor: Annotated[str, Parameter(help="Who gives it up; it is recorded.")] = "operator",
    data_dir: DataDir = None,
) -> None:
    """Give up one parked command; who and why is recorded as an event.

    Examples:

        tender parked drop acme/A-1 0198c1c8-… --reason "sent twice by mistake" --actor ada
    """

    async def ask() -> None:
        async with attached_store(data_dir) as (_, store):
            await drop(store, clock_of(data_dir), home, command_id, Actor("USER", actor), reason)

    run(ask())
    console.print(f"dropped {command_id}")


@dead_letters.command(name="list")
def list_dead_letters(
    *,
    data_dir: DataDir = None,
    after: Annotated[int, Parameter(help="Only those behind this id.")] = 0,
    limit: Annotated[int, Parameter(help="At most so many.")] = 50,
    output: Output = "table",
) -> None:
    """Records that were no commands: where they came from, and why."""

    async def ask() -> list[dict[str, Any]]:
        async with attached_store(data_dir) as (_, store):
            return [
                {
                    "id": id,
                    "origin": f"{letter.topic}/{letter.partition}/{letter.offset}",
                    "code": letter.code,
                    "reason": letter.reason,
                    "at": letter.at,
                    "value": (letter.value or b"")[:80].decode("utf-8", "replace"),
                }
                for id, letter in await store.dead_letters(after, limit)
            ]

    show(run(ask()), output)


def write_contracts() -> None:
    """Write the JSON Schemas and the AsyncAPI document of this version."""
    console.print(f"{contracts.write()} files in {contracts.CONTRACTS}")
