"""The benchmarks at tiny sizes: what they say, never how fast. Rows that need a broker are in `broker/`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ledger.at_scale.evaluation import evaluate_columns
from ledger.engine import apply
from ledger.pages import Coordinates, Line, Page, seal
from ledger.state import State
from processors.bench import machine
from processors.bench.catalogue import CATALOGUE, NAMES, chosen, measure
from processors.bench.large_book import POSITIONS, large_book
from processors.bench.load import Load, account_name
from processors.bench.pace import pace_of
from processors.bench.rows import CannotMeasure, Figure, Reach, Row, Skipped, judge
from processors.bench.vectorised import evaluate_vectorised
from processors.bench.workbench import FULL, QUICK, Sizes, Workbench, workbench
from processors.cli import main
from processors.kafka.cluster import Cluster
from processors.kafka.topics import delete
from schemas.canonical import encode
from schemas.events import TOPIC_OF, Event
from schemas.refusals import Refusal
from schemas.wire import decode

# The package has a command of the same name, so the module is asked for by its own.
command = import_module("processors.cli.bench")
KEYS = ["name", "value", "unit", "yardstick", "yardstick_value", "ratio", "reach", "met"]
WITHOUT_BROKER = [benchmark.name for benchmark in CATALOGUE if not benchmark.needs_broker]
TS = 1_760_000_000_000


@contextmanager
def silent(_title: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda _steps: None


def margin_ledger_bench(*arguments: str) -> Result:
    return CliRunner().invoke(main, ("bench", *arguments), env={"COLUMNS": "120"})


# --- the plot


def test_a_plot_says_how_many_ticks_there_are_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "QUICK", Sizes(accounts=10, events=1, seconds=1))
    result = margin_ledger_bench("--quick", "--plot")
    assert result.exit_code == 0, result.output
    assert "ticks/s by accounts" in result.stdout
    [row] = [line.split() for line in result.stdout.splitlines() if "1,000 " in line and "│" in line[:1]]
    rates = [float(cell.replace(",", "")) for cell in row if cell not in {"│", "1,000"}]
    assert len(rates) == len([rate for rate in rates if rate > 0]) == 3


def test_a_plot_is_no_json() -> None:
    assert margin_ledger_bench("--plot", "--json").exit_code == 2


# --- the command


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """What `bench --quick --json` says without a broker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "QUICK", Sizes(accounts=20, events=2_000, seconds=20))
        patch.delenv("MARGIN_LEDGER_BROKERS", raising=False)
        result = margin_ledger_bench("--quick", "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_every_row_is_listed_in_the_order_of_the_catalogue(rows: list[dict[str, Any]]) -> None:
    assert [row["name"] for row in rows] == list(NAMES)


def test_a_row_that_was_measured_has_exactly_the_fields_that_programs_expect(
    rows: list[dict[str, Any]],
) -> None:
    measured = [row for row in rows if "skipped" not in row]
    assert [row["name"] for row in measured] == WITHOUT_BROKER
    assert all(list(row) == KEYS for row in measured)


def test_a_figure_is_beside_its_yardstick(rows: list[dict[str, Any]]) -> None:
    for row in rows[: len(WITHOUT_BROKER)]:
        assert row["value"] > 0
        if row["name"] == "memory":  # beside a limit only
            assert (row["yardstick_value"], row["ratio"]) == (None, None)
            continue
        assert row["yardstick_value"] > 0
        assert row["ratio"] == pytest.approx(row["value"] / row["yardstick_value"], rel=0.002)
        assert isinstance(row["met"], bool)


def test_without_a_broker_the_rows_that_need_one_are_skipped_and_say_so(rows: list[dict[str, Any]]) -> None:
    skipped = rows[len(WITHOUT_BROKER) :]
    assert {row["skipped"] for row in skipped} == {"needs a broker: give --brokers HOST:PORT"}
    assert all(list(row) == [*KEYS, "skipped"] for row in skipped)
    assert all(row[key] is None for row in skipped for key in KEYS[1:])


def test_rows_are_chosen_by_name_or_by_family() -> None:
    assert [row.name for row in chosen(["replay", "latency"])] == ["replay", "latency-p50", "latency-p99"]
    assert [row.name for row in chosen([])] == list(NAMES)


def test_the_table_says_what_was_skipped_and_why() -> None:
    result = margin_ledger_bench("--quick", "pipeline-faust")
    assert result.exit_code == 0
    assert result.stdout == "pipeline-faust: skipped: needs a broker: give --brokers HOST:PORT\n"


def test_the_table_has_a_line_for_each_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    row = judge("ticks", Figure(50, 100), "ticks/s", "a sweep", Reach(0.4))
    monkeypatch.setattr(command, "measure", lambda *_: iter([row]))
    shown = margin_ledger_bench("--quick", "replay").stdout
    assert "50 ticks/s" in shown
    assert "0.5x" in shown
    assert ">= 0.4x" in shown
    assert "ticks: beside a sweep" in shown


def test_so_many_events_are_worked_through_as_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Sizes] = []

    def measured(run: Workbench, _: object) -> list[Row]:
        asked.append(run.sizes)
        return []

    monkeypatch.setattr(command, "measure", measured)
    assert margin_ledger_bench("--quick", "--events", "10000000", "replay").exit_code == 0
    [sizes] = asked
    assert (sizes.accounts, sizes.events) == (QUICK.accounts, 10_000_000)
    assert sizes.seconds > 10_000


def test_bench_that_is_told_to_end_takes_its_worker_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "processors.cli", "bench", "--quick", "--events", "1000000", "embedded"]
    bench = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(tmp_path)}, stderr=subprocess.DEVNULL)
    while not (workers := Path(f"/proc/{bench.pid}/task/{bench.pid}/children").read_text().split()):
        assert bench.poll() is None
        time.sleep(0.05)
    bench.terminate()
    assert bench.wait(60) == 128 + signal.SIGTERM
    assert [pid for pid in workers if Path(f"/proc/{pid}").exists()] == []
    assert list(tmp_path.iterdir()) == []


def test_a_row_that_is_not_there_is_named() -> None:
    result = margin_ledger_bench("speed")
    assert result.exit_code == 2
    assert "no row is called 'speed'" in result.stderr


def test_a_broker_elsewhere_is_not_loaded_by_mistake() -> None:
    result = margin_ledger_bench("--brokers", "kafka.example.com:9092", "pipeline")
    assert result.exit_code == 1
    assert "error:" in result.stderr


def test_a_broker_elsewhere_needs_a_word_even_where_plaintext_may_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MARGIN_LEDGER_ALLOW_PLAINTEXT", "true")
    result = margin_ledger_bench("--brokers", "kafka.example.com:9092", "pipeline")
    assert result.exit_code == 1
    assert "--allow-remote" in result.stderr


def test_a_quick_run_is_smaller_in_every_way() -> None:
    assert QUICK.accounts < FULL.accounts
    assert QUICK.events < FULL.events
    assert QUICK.seconds < FULL.seconds


# --- rows


def test_a_ratio_is_judged_from_the_right_side() -> None:
    assert judge("fast", Figure(50, 100), "events/s", "y", Reach(0.5)).met is True
    assert judge("fast", Figure(49, 100), "events/s", "y", Reach(0.5)).met is False
    assert judge("late", Figure(200, 100), "ms", "y", Reach(2, at_least=False)).met is True
    assert judge("late", Figure(201, 100), "ms", "y", Reach(2, at_least=False)).met is False


def test_a_figure_without_a_yardstick_is_judged_by_itself() -> None:
    row = judge("memory", Figure(900), "bytes", "", Reach(1_000, at_least=False, unit=" bytes"))
    assert (row.ratio, row.reach, row.met) == (None, "<= 1,000 bytes", True)


def test_a_figure_that_is_to_reach_nothing_is_not_judged() -> None:
    row = judge("cpu", Figure(3, 2), "CPU s", "the broker", None)
    assert (row.ratio, row.reach, row.met) == (1.5, None, None)


def test_a_row_that_cannot_be_measured_says_why_and_the_others_go_on() -> None:
    def cannot(_bench: object) -> Figure:
        raise CannotMeasure("no such machine")

    good, bad = CATALOGUE[0], CATALOGUE[1]
    benchmarks = [_with(bad, cannot), _with(good, lambda _bench: Figure(1, 2))]
    with workbench(QUICK, silent) as bench:
        skipped, row = measure(bench, benchmarks)
    assert skipped == Skipped(bad.name, "no such machine")
    assert isinstance(row, Row)


def _with(benchmark: Any, function: Callable[[Any], Figure]) -> Any:
    return type(benchmark)(benchmark.name, benchmark.unit, benchmark.yardstick, benchmark.reach, function)


def test_what_several_rows_share_is_made_once() -> None:
    made: list[int] = []

    def make(_bench: Workbench, shards: int) -> None:
        made.append(shards)

    with workbench(QUICK, silent) as bench:
        for shards in (1, 4, 1):
            bench.once(make, shards)
    assert made == [1, 4]


def test_a_workbench_leaves_nothing_behind() -> None:
    with workbench(QUICK, silent) as bench:
        folder = bench.folder
        (folder / "ledger").mkdir()
    assert not Path(folder).exists()


# --- the load


def events_of(seed: int = 1) -> list[Event]:
    load = Load(accounts=30, seed=seed, instruments=10)
    return [*load.opening(TS), *load.flow(4_000, TS + 1_000)]


def test_the_same_seed_gives_the_same_load() -> None:
    assert events_of() == events_of()
    assert events_of() != events_of(seed=2)


def test_the_flow_is_70_percent_prices_and_25_percent_trades() -> None:
    load = Load(accounts=30, instruments=10)
    list(load.opening(TS))
    topics = Counter(TOPIC_OF[event.type] for event in load.flow(20_000, TS + 1_000))
    assert topics["prices"] / 20_000 == pytest.approx(0.70, abs=0.015)
    assert topics["trades"] / 20_000 == pytest.approx(0.25, abs=0.015)
    assert {"accounts", "deposits"} <= set(topics)


def test_nothing_of_the_load_is_refused() -> None:
    state = State()
    refused = []
    for event in events_of():
        try:
            apply(state, event)
        except Refusal as refusal:
            refused.append((event, refusal))
    assert refused == []


def test_the_load_is_what_a_producer_would_send() -> None:
    assert all(decode(encode(event)) == event for event in events_of())


def test_the_opening_gives_every_account_positions() -> None:
    load, state = Load(accounts=5, instruments=4), State()
    for event in load.opening(TS):
        apply(state, event)
    assert [account_name(number) for number in range(5)] == state.book.accounts.names
    assert not any(state.book.is_flat(pool) for pool in state.book.accounts.pool.used().tolist())


def test_time_goes_on_at_the_rate_asked_for() -> None:
    flow = list(Load(accounts=5, instruments=4).flow(201, TS, per_second=100))
    assert (flow[0].ts, flow[-1].ts) == (TS, TS + 2_000)


# --- the pace


def page(number: int, closed_at_ms: int, trades: int, prices: int, shard: int = 0) -> Page:
    topics = ["trades"] * trades + ["prices"] * prices
    return seal(
        shard=shard,
        number=number,
        previous_hash="0" * 64,
        closed_at_ms=closed_at_ms,
        engine_version=1,
        coordinates=[Coordinates(topic, 0, offset) for offset, topic in enumerate(topics)],
        resume={},
        outputs=[],
        lines=[Line("accepted", b"{}") for _ in topics],
    )


def test_the_pace_is_taken_from_the_closing_of_the_first_page_to_that_of_the_last() -> None:
    pace = pace_of([page(7, 1_000, 50, 50), page(8, 1_500, 10, 20), page(9, 3_000, 30, 40)], shards=1)
    assert (pace.events, pace.pages, pace.seconds, pace.per_second) == (100, 2, 2.0, 50.0)


def test_a_price_that_every_shard_takes_counts_once() -> None:
    pages = [page(1, 0, 0, 0), page(1, 1_000, 5, 8, shard=1), page(2, 1_000, 5, 8)]
    assert pace_of(pages, shards=2).events == 18


@pytest.mark.parametrize("pages", [[], [page(1, 5, 9, 9)], [page(1, 5, 9, 9), page(2, 5, 9, 9)]])
def test_too_few_pages_have_no_pace(pages: list[Page]) -> None:
    with pytest.raises(CannotMeasure, match="too few pages"):
        pace_of(pages, shards=1)


# --- the machine


def test_what_is_measured_has_a_core_of_its_own_where_there_are_two() -> None:
    measured, others = machine.cores()
    assert len(measured) == 1
    assert measured.isdisjoint(others) or measured == others


def test_a_child_that_fails_says_why() -> None:
    with (
        machine.Child(["-c", "raise SystemExit('not today')"], {}) as child,
        pytest.raises(CannotMeasure, match="not today"),
    ):
        child.finish()


def test_a_child_is_not_left_behind() -> None:
    with machine.Child(["-c", "import time; time.sleep(600)"], {}) as child:
        assert child.is_running
    assert not child.is_running


def test_the_vectorised_yardstick_does_the_whole_work_of_the_kernel() -> None:
    state = large_book(Load(accounts=0, instruments=24), 300, TS)
    state.book.accounts.mode.array[:] = 1
    state.book.balances.item.array[::3] = state.rules.asset("BTC")
    state.book.balances.amount.array[::3] //= 1_000
    exact = evaluate_columns(state.book, state.market, state.rules, np.arange(300))
    found = evaluate_vectorised(state, POSITIONS)
    assert exact.fits.all()
    others = [name for name, column in found._asdict().items() if (column != getattr(exact, name)).any()]
    assert others == []


def test_a_child_says_figures_in_its_last_line() -> None:
    with machine.Child(["-c", "print('hello'); print('{\"events\": 3}')"], {}) as child:
        assert child.finish().figures() == {"events": 3}


async def test_the_topics_of_a_real_ledger_are_never_deleted() -> None:
    with pytest.raises(ValueError, match="under a prefix"):
        await delete(Cluster("127.0.0.1:9"))
