"""The command line: `margin-ledger COMMAND`. One file per command, none of them holds logic of its own."""

from __future__ import annotations

import click

from processors.cli.account import account
from processors.cli.audit import audit
from processors.cli.bench import bench
from processors.cli.demo import demo
from processors.cli.ingest import ingest
from processors.cli.outputs import outputs
from processors.cli.parameters import parameters
from processors.cli.process import process
from processors.cli.run import run
from processors.cli.topics import topics
from processors.cli.what_if import what_if_command
from processors.kernel_cache import keep_kernels_apart


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="margin-ledger")
def main() -> None:
    """An exact, replayable ledger of portfolio margin."""
    keep_kernels_apart()


for command in (
    demo,
    process,
    ingest,
    run,
    outputs,
    account,
    what_if_command,
    parameters,
    audit,
    bench,
    topics,
):
    main.add_command(command)
