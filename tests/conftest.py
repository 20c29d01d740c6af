"""What every tier may ask for: a broker, a database, folders."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest

pytest_plugins = ["tests.fixtures.database", "tests.fixtures.kafka", "tests.fixtures.tender"]

_ROOT = "PYTEST_DEBUG_TEMPROOT"


def pytest_configure(config: pytest.Config) -> None:
    """A session has a root of its own for its folders.

    The root that all sessions of a user share is closed to other users at the start of each: under
    root, it would be closed to the database servers of the sessions that run already.
    """
    if hasattr(config, "workerinput") or _ROOT in os.environ or config.getoption("basetemp"):
        return
    os.environ[_ROOT] = tempfile.mkdtemp(prefix="tender-tests-")
    config.stash[_OWN_ROOT] = os.environ[_ROOT]


def pytest_unconfigure(config: pytest.Config) -> None:
    root = config.stash.get(_OWN_ROOT, None)
    if root is not None:
        del os.environ[_ROOT]
        shutil.rmtree(root, ignore_errors=True)


_OWN_ROOT = pytest.StashKey[str]()
