"""What the auditor's commands share: exit code 2 when they cannot run, and files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processors.audit.heads import BadHeads
from processors.audit.repair import NotRepairable
from processors.audit.verification import CannotVerify
from processors.cli.console import CANNOT_RUN, LEDGER_ERRORS, Failure, file_failure, open_binary


@contextmanager
def audit_errors() -> Iterator[None]:
    """What keeps an audit from running, in one line; exit code 2, as 1 means that it found something."""
    try:
        yield
    except Failure as error:
        raise Failure(error.message, CANNOT_RUN) from None
    except (*LEDGER_ERRORS, CannotVerify, NotRepairable, BadHeads) as error:
        raise Failure(str(error), CANNOT_RUN) from None
    except OSError as error:
        raise Failure(file_failure(error, "the ledger").message, CANNOT_RUN) from None


def read_file(name: str) -> bytes:
    """A file's bytes, or with "-" those of standard input. Failure in one line."""
    try:
        with open_binary(name, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise file_failure(error, name) from None


def write_file(name: str, content: bytes) -> None:
    """Write a file, or with "-" to standard output. Failure in one line."""
    try:
        with open_binary(name, "wb") as sink:
            sink.write(content)
    except OSError as error:
        raise file_failure(error, name) from None


def write_secret(name: str, content: bytes) -> None:
    """Write a new file that only its owner may read. Failure in one line, also when there is one already."""
    try:
        Path(name).touch(mode=0o600, exist_ok=False)
        Path(name).write_bytes(content)
    except OSError as error:
        raise file_failure(error, name) from None
