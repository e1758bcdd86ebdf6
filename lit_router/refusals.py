"""Venues that reject orders: left alone for a while, so that the same order is not rejected at every decision."""

from collections.abc import Sequence

from lit_router.ports import Proposal, ReportKind

LONGEST = 64
"""Decisions."""


class Refusals:
    """A venue that rejects is left alone for 1 decision, then 2, 4, ... until it takes an order."""

    def __init__(self) -> None:
        self._in_a_row: dict[str, int] = {}
        self._left: dict[str, int] = {}

    def heard(self, venue: str, kind: ReportKind) -> None:
        if kind is ReportKind.REJECTED:
            self._in_a_row[venue] = count = self._in_a_row.get(venue, 0) + 1
            self._left[venue] = min(2 ** (count - 1), LONGEST)
        elif kind in (ReportKind.ACKNOWLEDGED, ReportKind.FILLED):
            self._in_a_row.pop(venue, None)

    def welcome(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Those for venues that are not being left alone. To be called once a decision."""
        alone = set(self._left)
        self._left = {venue: left - 1 for venue, left in self._left.items() if left > 1}
        return [p for p in proposals if p.venue not in alone]
