"""The chart, as Helm itself sees it, where there is a `helm`: it lints, renders, and says what it lacks."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.settings import Settings

CHART = Path(__file__).parents[2] / "deploy/helm"
BROKERS = "kafka.bootstrapServers=kafka-0.kafka:9092"
HELM = shutil.which("helm")

pytestmark = pytest.mark.skipif(HELM is None, reason="there is no helm here")


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert HELM is not None
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, timeout=60, check=False)


@cache
def rendered(*settings: str) -> list[dict[str, Any]]:
    """What would be applied: of the release `shop`."""
    chosen = [part for setting in (BROKERS, *settings) for part in ("--set", setting)]
    made = helm("template", "shop", str(CHART), *chosen)
    assert made.returncode == 0, made.stderr
    return [document for document in yaml.safe_load_all(made.stdout) if document]


def of_kind(kind: str, *settings: str) -> list[dict[str, Any]]:
    return [document for document in rendered(*settings) if document["kind"] == kind]


def test_helm_finds_nothing_to_complain_about() -> None:
    linted = helm("lint", "--strict", str(CHART), "--set", BROKERS)
    assert linted.returncode == 0, linted.stdout
    assert re.findall(r"\[(?:WARNING|ERROR)\].*", linted.stdout) == []


def test_it_says_which_value_is_missing() -> None:
    refused = helm("template", "shop", str(CHART))
    assert refused.returncode != 0
    assert "kafka.bootstrapServers names your brokers" in refused.stderr


def test_each_role_is_deployed_and_its_service_finds_it() -> None:
    roles = yaml.safe_load((CHART / "values.yaml").read_text())["roles"]
    deployed = {one["metadata"]["name"]: one["spec"] for one in of_kind("Deployment")}
    assert deployed.keys() == {f"shop-{role}" for role in roles}
    for name, spec in deployed.items():
        labels = spec["template"]["metadata"]["labels"]
        assert spec["selector"]["matchLabels"].items() <= labels.items(), name
    (service,) = of_kind("Service")
    http = deployed["shop-http"]["template"]
    assert service["spec"]["selector"].items() <= http["metadata"]["labels"].items()
    named = {port["name"] for port in http["spec"]["containers"][0]["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


def test_no_variable_is_unknown_or_given_twice() -> None:
    known = {f"TENDER_{name.upper()}" for name in Settings.model_fields}
    pods = [one["spec"]["template"]["spec"] for kind in ("Deployment", "Job") for one in of_kind(kind)]
    for pod in pods:
        (container,) = pod["containers"]
        given = [variable["name"] for variable in container["env"]]
        assert set(given) <= known
        assert len(given) == len(set(given))
        assert all(isinstance(variable["value"], str) for variable in container["env"])


def test_nothing_may_write_to_its_image_or_become_more_than_it_is() -> None:
    pods = [one["spec"]["template"]["spec"] for kind in ("Deployment", "Job") for one in of_kind(kind)]
    for pod in pods:
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]


def test_what_is_set_gets_there() -> None:
    chosen = ("roles.worker.replicas=5", "image.tag=2.0", "http.port=9000")
    chosen += ("settings.TENDER_GATEWAY_CONCURRENCY=9",)
    (worker,) = [one for one in of_kind("Deployment", *chosen) if one["metadata"]["name"] == "shop-worker"]
    container = worker["spec"]["template"]["spec"]["containers"][0]
    assert (worker["spec"]["replicas"], container["image"]) == (5, "tender:2.0")
    assert {"name": "TENDER_GATEWAY_CONCURRENCY", "value": "9"} in container["env"]
    (service,) = of_kind("Service", *chosen)
    assert service["spec"]["ports"][0]["port"] == 9000
