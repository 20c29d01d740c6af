"""The commands of the CLI, joined; each module beside this one has some of them."""

from __future__ import annotations

from cyclopts import App

from services.cli import asking, operating, running, sending
from services.cli.bench import bench
from services.cli.clock import clock
from services.cli.commands import commands
from services.cli.demo import demo
from services.cli.forecast import forecast
from services.cli.gateways import gateways
from services.cli.importing import import_file
from services.cli.keys import keys
from services.cli.migrating import import_methods
from services.cli.migrations import migrations
from services.cli.notifications import notifications
from services.cli.operating import dead_letters, parked, projections
from services.cli.payouts import payouts
from services.cli.retries import retries, retry_policy
from services.cli.runs import runs
from services.cli.schedulers import schedulers
from services.cli.statements import statement

app = App(
    name="tender", help="Payments and refunds, event by event.", help_format="markdown", version="0.1.0"
)

for command in (
    running.up, demo, sending.send, commands, sending.listen, asking.explain, asking.verify, asking.doctor,
    clock, parked, projections, dead_letters, gateways, migrations, notifications, payouts, schedulers,
    runs, keys, statement, bench,
):  # fmt: skip
    app.command(command)
app.command(forecast)
app.command(import_file, name="import")
app.command(import_methods)
app.command(retries)
app.command(retry_policy)
app.command(operating.write_contracts, name="contracts")
