"""`margin-ledger audit`: redo what the ledger did, explain it, and ask what if. One file per command."""

from __future__ import annotations

import click

from processors.cli.audit.explain import check_proof, explain_command
from processors.cli.audit.export import export
from processors.cli.audit.heads import heads, keygen, sign
from processors.cli.audit.repair import repair
from processors.cli.audit.replay import replay
from processors.cli.audit.verify import verify


@click.group()
def audit() -> None:
    """Verify the journal, explain it, and ask what if."""


for command in (verify, repair, explain_command, check_proof, replay, export, heads, keygen, sign):
    audit.add_command(command)
