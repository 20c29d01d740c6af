"""`tender forecast`: what will be collected, day by day, and on what that rests."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from services.cli.output import Output, console, show, tell_json
from services.cli.session import DataDir, Tenant, clock_of, reading, run
from services.forecasting import forecast as forecast_of


def forecast(
    *,
    tenant: Tenant = "acme",
    until: Annotated[str | None, Parameter(help="The last day: 2026-12-31; without it, in 90 days.")] = None,
    currency: Annotated[str | None, Parameter(help="Only this: USD.")] = None,
    account: Annotated[str | None, Parameter(help="Only of this account.")] = None,
    data_dir: DataDir = None,
    output: Output = "table",
) -> None:
    """What will be collected, by day, currency and kind of method, as things are.

    Examples:

        tender forecast
        tender forecast --until 2026-12-31 --currency USD --output json
    """

    async def ask() -> dict[str, Any]:
        given = (("until", until), ("currency", currency), ("account_id", account))
        asked = {name: [value] for name, value in given if value is not None}
        async with reading(data_dir) as (_, rows):
            return await forecast_of(rows, tenant, asked, clock_of(data_dir).now())

    told = run(ask())
    if output == "json":
        tell_json(told)
        return
    show(told["days"], output)
    for name, title in (("totals", f"Until {told['until']}"), ("left_out", "Due by then, and left out")):
        if told[name]:
            console.print(Text(f"\n{title}", "bold"))
            show(told[name], output)
    console.print(Text("\nThis takes for granted", "bold"))
    for each in told["assumptions"]:
        console.print(Text(f"  {each}", "dim"), soft_wrap=True)
