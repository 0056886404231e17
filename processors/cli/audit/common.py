"""What the auditor's commands share: exit code 2 when they cannot run, and files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from processors.audit.repair import NotRepairable
from processors.audit.verification import CannotVerify
from processors.cli.console import CANNOT_RUN, LEDGER_ERRORS, Failure, file_failure


@contextmanager
def audit_errors() -> Iterator[None]:
    """What keeps an audit from running, in one line; exit code 2, as 1 means that it found something."""
    try:
        yield
    except Failure as error:
        raise Failure(error.message, CANNOT_RUN) from None
    except (*LEDGER_ERRORS, CannotVerify, NotRepairable) as error:
        raise Failure(str(error), CANNOT_RUN) from None
    except OSError as error:
        raise Failure(file_failure(error, "the ledger").message, CANNOT_RUN) from None
