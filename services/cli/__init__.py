"""`tender`: everything that a person does with a running Tender, from a terminal."""

from __future__ import annotations

from services.cli.app import app


def main() -> None:
    app()


__all__ = ["app", "main"]
