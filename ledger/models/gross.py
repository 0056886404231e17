"""No offsets at all: every position answers for itself. What cross and isolated margin ask."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.margin import Exposure, Part, Requirement, gross_and_net


class Gross:
    """R = G, the sum of the positions' maintenance margins."""

    def requirement(self, exposure: Exposure) -> Requirement:
        """Gross, whatever the sides are."""
        gross, net = gross_and_net(exposure.weights)
        return Requirement(gross, net, gross, "gross")

    def shares(self, exposure: Exposure, found: Requirement) -> list[float]:  # noqa: ARG002
        """Each position's own maintenance margin."""
        return [abs(weight) for weight in exposure.weights]

    def parts(self, exposure: Exposure) -> list[Part]:
        """Gross, and nothing else."""
        return [Part("gross", self.requirement(exposure).gross)]

    def slopes(self, contracts: Sequence[int], rates: Sequence[float]) -> list[float]:  # noqa: ARG002
        """Each position's own maintenance rate."""
        return list(rates)
