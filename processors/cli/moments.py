"""What the commands about one account share: of which moment, and of which shard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from processors.cli.console import Failure, Place, ledger_errors, open_ledger
from processors.inspection import Moment, after_page, at_time, latest
from processors.partitioner import partition_of


def moment_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--at TIME` and `--page N`, as `time` and `page`."""
    at = click.option("--at", "time", metavar="TIME", help="As of this time: ISO 8601 (UTC) or milliseconds.")
    page = click.option("--page", type=click.IntRange(0), metavar="N", help="As of the end of this page.")
    return at(page(command))


def account_moment(place: Place, account_id: str, time: str | None, page: int | None) -> tuple[int, Moment]:
    """The shard of an account, and its state then or now. Failure when the account is not in it."""
    if time is not None and page is not None:
        raise click.UsageError("--at and --page exclude each other")
    ts = None if time is None else milliseconds(time)
    with ledger_errors():
        shard, moment = asyncio.run(_moment(place, account_id, ts, page))
    if page is not None and moment.page < page:
        raise Failure(f"shard {shard} has no page {page}: the last one is page {moment.page}")
    if account_id not in moment.state.book.accounts.numbers:
        raise Failure(f"account {account_id} is not in the ledger at that moment (shard {shard})")
    return shard, moment


async def _moment(place: Place, account_id: str, ts: int | None, page: int | None) -> tuple[int, Moment]:
    async with open_ledger(place) as journal:
        shard = partition_of(account_id.encode(), journal.shards)
        if ts is not None:
            return shard, await at_time(journal, shard, ts)
        return shard, await (latest(journal, shard) if page is None else after_page(journal, shard, page))


def milliseconds(time: str) -> int:
    """ISO 8601 (UTC unless it says otherwise) or milliseconds since 1970. BadParameter when it is neither."""
    if time.isdecimal() and time.isascii():
        return int(time)
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        hint = "--at takes 2025-10-10T21:15:00 or milliseconds since 1970"
        raise click.BadParameter(hint, param_hint="--at") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)
