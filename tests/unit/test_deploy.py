"""The deployment names what exists: roles, settings, versions, files."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from services import subjects
from services.commands import COMMANDS
from services.settings import Settings
from services.watching.metrics import (
    BATCH_SECONDS,
    CALL_SECONDS,
    CALLS,
    DENIALS,
    RECORDS,
    RELAYED,
    REQUEST_SECONDS,
    REQUESTS,
    StatusMetrics,
)
from services.watching.observing import GatewayWork, Status
from tests.fixtures import kafka_jars

ROOT = Path(__file__).parents[2]

assert subjects.SUBJECTS, "importing the subjects enters their commands"


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    return yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]


def roles() -> set[str]:
    """The keys of ROLES, read without importing what they need."""
    tree = ast.parse((ROOT / "services/bootstrap.py").read_text())
    (table,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "ROLES"
    )
    assert isinstance(table, ast.Dict)
    return {ast.literal_eval(key) for key in table.keys if key is not None}


def test_each_role_has_a_container(services: dict[str, dict[str, Any]]) -> None:
    commands = [service.get("command", []) for service in services.values()]
    assert {command[1] for command in commands if command[:1] == ["services.roles"]} == roles()


def test_the_image_runs_every_role_when_none_is_named() -> None:
    line = (ROOT / "deploy/Dockerfile").read_text().splitlines()[-1]
    assert set(ast.literal_eval(line.removeprefix("CMD "))) == {"services.roles", *roles()}


def test_what_containers_run_exists(services: dict[str, dict[str, Any]]) -> None:
    ours = [service["command"][0] for service in services.values() if "build" in service]
    paths = [ROOT / name.replace(".", "/") for name in ours]
    assert [path for path in paths if not (path.with_suffix(".py").exists() or path.is_dir())] == []


def test_each_setting_that_is_set_exists(services: dict[str, dict[str, Any]]) -> None:
    known = {f"TENDER_{name.upper()}" for name in Settings.model_fields}
    used = {name for service in services.values() if "build" in service for name in service["environment"]}
    assert used <= known


def test_nothing_is_published_beyond_this_machine(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_tests_and_containers_run_the_same_kafka(services: dict[str, dict[str, Any]]) -> None:
    assert services["kafka"]["image"] == f"apache/kafka:{kafka_jars.VERSION}"


def test_each_migration_has_its_way_back() -> None:
    files = {file.name for file in (ROOT / "deploy/migrations").glob("*.sql")}
    forward = {name for name in files if not name.endswith(".rollback.sql")}
    assert forward
    assert files == forward | {name.replace(".sql", ".rollback.sql") for name in forward}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_a_lock_has_hashes_and_names_no_host(lock: str) -> None:
    text = (ROOT / lock).read_text()
    pinned = [line for line in text.splitlines() if "==" in line and not line.lstrip().startswith("#")]
    assert len(pinned) > 40
    assert all(line.endswith("\\") for line in pinned)  # a hash follows
    assert "://" not in text
    assert "--index-url" not in text


def metrics() -> set[str]:
    """The names of all metrics, as they are scraped."""
    status = Status(
        *range(11), {"SEND": GatewayWork(1, 1, 1, 1.0)}, {"relay": True}, {"APPLY_FAILED": 1}, {"MATCHED": 1}
    )
    there = {family.name for family in StatusMetrics(status).collect()}
    for counted in (REQUESTS, RECORDS, RELAYED, CALLS, DENIALS, REQUEST_SECONDS, BATCH_SECONDS, CALL_SECONDS):
        for family in counted.collect():
            there |= {f"{family.name}_total"} if family.type == "counter" else {f"{family.name}_bucket"}
    return there


def test_the_dashboard_asks_only_for_metrics_that_there_are() -> None:
    board = json.loads((ROOT / "deploy/dashboards/tender.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(r"tender_\w+", target["expr"])
    }
    assert len(asked) > 15
    assert asked <= metrics()


def test_the_chart_runs_every_role_with_settings_that_exist() -> None:
    values = yaml.safe_load((ROOT / "deploy/helm/values.yaml").read_text())
    assert set(values["roles"]) == roles()
    known = {f"TENDER_{name.upper()}" for name in Settings.model_fields}
    templates = [file.read_text() for file in (ROOT / "deploy/helm/templates").iterdir()]
    assert set(re.findall(r"name: (TENDER_\w+)", "\n".join(templates))) <= known


def test_the_chart_uses_only_values_that_it_has() -> None:
    values = yaml.safe_load((ROOT / "deploy/helm/values.yaml").read_text())
    for file in (ROOT / "deploy/helm/templates").iterdir():
        for path in re.findall(r"\.Values\.([\w.]+)", file.read_text()):
            at = values
            for name in path.split("."):
                assert name in at, f"{file.name}: .Values.{path}"
                at = at[name]


def test_runbooks_speak_of_commands_and_metrics_that_there_are() -> None:
    books = {file.name: file.read_text() for file in (ROOT / "deploy/runbooks").glob("*.md")}
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", books["README.md"]))
    assert linked == books.keys() - {"README.md"}
    for text in books.values():
        assert set(re.findall(r"\btender_[a-z_]+", text)) <= metrics()
        for setting in re.findall(r"TENDER_(\w+)", text):
            assert setting.lower() in Settings.model_fields
        for command in re.findall(r"tender send ([a-z_.]+)", text):
            assert f"payments.{command}.v1" in COMMANDS
