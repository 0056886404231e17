"""`margin-ledger demo`: the main job on the embedded log."""

from __future__ import annotations

import click


@click.command()
def demo() -> None:
    """placeholder"""
