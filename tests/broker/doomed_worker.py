"""A worker that ends itself.

`doomed_worker.py LABEL TIMES SIGNAL` is `margin-ledger run` with the settings of the environment, but at the
TIMES-th passing of LABEL it sends itself SIGNAL (KILL, or STOP to hang there).
"""

from __future__ import annotations

import logging
import os
import signal
import sys

from processors.app import WorkerContext, run_application
from processors.kafka.cluster import cluster_from
from processors.settings import WorkerSettings


class EndAt:
    """Sends the signal when a label has been passed often enough."""

    def __init__(self, label: str, times: int, deadly: signal.Signals) -> None:
        self._label = label
        self._left = times
        self._signal = deadly

    def __call__(self, label: str) -> None:
        if label == self._label:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), self._signal)


def main() -> None:
    label, times, name = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = WorkerSettings()
    end = EndAt(label, int(times), signal.Signals[f"SIG{name}"])
    run_application(WorkerContext(cluster_from(settings), settings, at_step=end))


if __name__ == "__main__":
    main()
