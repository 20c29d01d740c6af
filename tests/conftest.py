"""What every tier may ask for: a broker, a database."""

from __future__ import annotations

pytest_plugins = ["tests.fixtures.database", "tests.fixtures.kafka", "tests.fixtures.tender"]
