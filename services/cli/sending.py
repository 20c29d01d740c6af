"""`tender send` and `tender listen`: commands in, events out, by hand."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import httpx
import orjson
from aiokafka import AIOKafkaConsumer
from cyclopts import Parameter
from rich.text import Text

from events.catalog import FACTS
from events.mapper import decode
from projections.words import sentence
from services import bootstrap
from services.access.permissions import short
from services.cli.output import Output, console, show, tell_json
from services.cli.session import DataDir, Tenant, fail, run, settings_of
from services.commands import COMMANDS
from services.running import broker
from services.running.stack import attached, http_url
from services.settings import Settings

SEND_SECONDS = 60.0
OF_ITS_FORM = {"UNKNOWN_FIELD", "MALFORMED_REQUEST", "DATE_INVALID", "MINOR_UNITS_INVALID"}
"""Codes of commands that are not written as they should be."""


def send(
    type: Annotated[str, Parameter(help="What to do: invoice.post, or payments.invoice.post.v1.")],
    body: Annotated[
        str, Parameter(help="Its data, one JSON object; `-`: standard input.", allow_leading_hyphen=True)
    ],
    *,
    account: Annotated[str | None, Parameter(help="Whose it is; what is of no account needs none.")] = None,
    tenant: Tenant = "acme",
    key: Annotated[
        str | None, Parameter(help="An idempotency key: sent again, it is answered again.")
    ] = None,
    url: Annotated[
        str | None, Parameter(help="Of Tender's HTTP. [default: of the one that runs here]")
    ] = None,
    wait: Annotated[int, Parameter(help="Seconds to wait for the gateway's answer.")] = 0,
    dry_run: Annotated[bool, Parameter(help="Only tell what would happen.", negative="")] = False,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Send one command by HTTP and tell what became of it; 1 when it was not accepted.

    Examples:

        tender send account.register '{"name": "Ada"}' --account A-1
        tender send payment.process '{…}' --account A-1 --key click-17 --wait 10
        tender send tenant_settings.apply_preset '{"name": "recommended"}'
        tender send invoice.post - --account A-1 --dry-run < invoice.json
    """
    answer = posted(type, _data(body), account, tenant, url, data_dir, key=key, wait=wait, dry_run=dry_run)
    told(answer, output, type)
    raise SystemExit(0 if answer.is_success else 1)


def posted(
    type: str,
    data: Any,
    account: str | None,
    tenant: str,
    url: str | None,
    data_dir: Path | None,
    *,
    key: str | None = None,
    wait: int = 0,
    dry_run: bool = False,
    params: Mapping[str, Any] | None = None,
) -> httpx.Response:
    """What HTTP answers to one command; who cannot reach it, or is not let in, is told so."""
    name = type_named(type)
    command: dict[str, Any] = {"tenant_id": tenant, "data": data}
    if account is not None:
        command["account_id"] = account
    if dry_run:
        command["dry_run"] = True
    settings = settings_of(data_dir)
    headers = {"Idempotency-Key": key or str(uuid4()), "Prefer": f"wait={wait}", **credential(settings)}
    where = url or http_url(settings)
    try:
        answer = httpx.post(
            f"{where}/v1/commands/{name}",
            params=params,
            content=orjson.dumps(command),
            headers=headers,
            timeout=SEND_SECONDS,
        )
    except httpx.HTTPError as problem:
        fail(f"{where} does not answer ({problem}): `tender up` starts one, `--url` names another")
    if answer.status_code == 401:
        fail(f"{answer.json()['message']}. {_missing(settings)}")
    return answer


def told(answer: httpx.Response, output: Output, type: str) -> None:
    """What became of a command of this type, for people or programs."""
    if output == "json":
        tell_json(answer.json())
    else:
        _tell(answer, short(type_named(type)))


def asked_over_http(method: str, path: str, data_dir: DataDir, body: Any = None) -> httpx.Response:
    """Of the Tender that runs over the data folder; whoever is not signed in is told how."""
    settings = settings_of(data_dir)
    where = http_url(settings)
    try:
        answer = httpx.request(
            method, f"{where}{path}", json=body, headers=credential(settings), timeout=SEND_SECONDS
        )
    except httpx.HTTPError as problem:
        fail(f"{where} does not answer ({problem}): `tender up` starts one")
    if answer.status_code == 401:
        fail(f"{answer.json()['message']}. {_missing(settings)}")
    return answer


def credential(settings: Settings) -> dict[str, str]:
    """The header that signs in by what the environment, or a file that it names, holds."""
    shown = settings.shown()
    return {"Authorization": f"Bearer {shown}"} if shown else {}


def _missing(settings: Settings) -> str:
    if settings.shown():
        return "What TENDER_API_KEY or TENDER_TOKEN holds is not accepted: `tender keys create` makes a key"
    return (
        "Set TENDER_API_KEY or TENDER_TOKEN, or name a file that holds it: TENDER_API_KEY_FILE, "
        "TENDER_TOKEN_FILE; `tender keys create` makes a key"
    )


def type_named(given: str) -> str:
    """The `ce_type` that a person means; the newest version where none is named."""
    name = given if given.startswith("payments.") else f"payments.{given}"
    if name in COMMANDS:
        return name
    versions = [known for known in COMMANDS if known.rpartition(".v")[0] == name]
    if versions:
        return max(versions, key=lambda known: int(known.rpartition(".v")[2]))
    names = [short(known) for known in COMMANDS]
    near = difflib.get_close_matches(given, names, n=3, cutoff=0.5)
    near += [one for one in names if given in one and one not in near][:3]
    also = f"; did you mean {' or '.join(near)}?" if near else ": `tender commands` lists them"
    fail(f"no command is called {given}{also}")


def _data(body: str) -> Any:
    text = sys.stdin.read() if body == "-" else body
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        fail(f'the data is no JSON: {error}. It is one object, in single quotes: \'{{"name": "Ada"}}\'')


def _tell(answer: httpx.Response, type: str) -> None:
    told = answer.json()
    if "code" in told:
        console.print(Text(f"{told['code']}: {told['message']}", "red"))
        details = {name: value for name, value in told["details"].items() if name != "replayed"}
        rows = [{"detail": name, "value": value} for name, value in details.items() if value is not None]
        if rows:
            show(rows, "table")
        if told["code"] in OF_ITS_FORM:
            console.print(f"`tender commands {type}` tells what it takes", highlight=False)
        return
    if "events" in told:
        console.print(f"[bold]would be accepted[/bold] at position {told['position']}, with these events:")
        for event in told["events"]:
            console.print(Text(f"  {_sentence(event['type'], event['data'])}"))
        return
    mark = "again: " if told.get("replayed") else ""
    status = "green" if told["status"] == "ACCEPTED" else "yellow"
    console.print(Text(f"{told['status']}", status), f"{mark}command {told['command_id']}", highlight=False)
    for stream, version in told.get("streams", {}).items():
        console.print(f"  {stream}@{version}", highlight=False, soft_wrap=True)
    if "position" in told:
        console.print(
            f"  read your own writes with min_position={told['position']}", style="dim", highlight=False
        )
    for call in told.get("gateway", ()):
        console.print(Text(f"  the gateway: {call['result_code']} {call['gateway_ref'] or ''}"))


def _sentence(type: str, data: Any) -> str:
    topic = type.removeprefix("payments.")
    if topic not in FACTS:
        return type
    return f"{topic.rpartition('.v')[0]}: {sentence(decode(topic, orjson.dumps(data)))}"


def listen(
    *,
    results: Annotated[bool, Parameter(help="Command results instead of events.", negative="")] = False,
    count: Annotated[int, Parameter(help="End after so many; 0: never.")] = 0,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """Print events as they come from Kafka, one a line, until Ctrl-C.

    The embedded broker may begin with a few that are older.

    Examples:

        tender listen
        tender listen --results --count 1 --output json
    """
    run(_listen(_known(data_dir), results, count, output))


def _known(data_dir: Any) -> Settings:
    settings = settings_of(data_dir)
    try:
        return attached(settings)
    except RuntimeError as absent:
        fail(str(absent))


async def _listen(settings: Settings, results: bool, count: int, output: Output) -> None:
    topics = bootstrap.topics(settings)
    consumer = AIOKafkaConsumer(
        topics.results if results else topics.events,
        bootstrap_servers=settings.kafka_bootstrap_servers or "",
        auto_offset_reset="latest",
        **broker.security(settings),
    )
    await consumer.start()
    try:
        heard = 0
        async for record in consumer:
            headers = {name: (text or b"").decode("utf-8", "replace") for name, text in record.headers}
            _print_record(headers, record.value or b"null", output)
            heard += 1
            if heard == count:
                return
    finally:
        await consumer.stop()


def _print_record(headers: dict[str, str], value: bytes, output: Output) -> None:
    data = orjson.loads(value)
    if output == "json":
        print(orjson.dumps({"headers": headers, "data": data}).decode(), flush=True)
        return
    time, type = headers.get("ce_time", "")[:19], headers.get("ce_type", "")
    if "status" in data and "command_id" in data:
        words = " ".join(str(data[name]) for name in ("type", "status", "code", "message") if data.get(name))
    else:
        words = _sentence(type, data)
    console.print(
        Text(f"{time}  ", "dim"), Text(headers.get("ce_subject", ""), "bold"), Text(words), soft_wrap=True
    )
