"""Which messages of a recording may touch what we have in its book: found by comparing columns, not by playing them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lit_router.market.lobster import (
    ADD,
    DARK_PRINT,
    DELETE,
    EXECUTION,
    FALL,
    HIDDEN_EXECUTION,
    PARTIAL_CANCEL,
    Ints,
    Recording,
)

FAR = np.iinfo(np.int64).max


class Watch(NamedTuple):
    """A price of one side at which orders of ours rest, or lots were taken.

    `deep` is lots taken there and lots ahead of our last order together: a display of no less changes nothing. `joined`
    is the row at which that order came: no cancel of an order added since moves it up. Neither ever rises by a message,
    except where a recorded order crosses ours.
    """

    bids: bool
    price: int
    rests: bool
    deep: int
    joined: int


class Touches:
    """An index of one recording, made once. A message that it does not name leaves everything of ours as it is."""

    def __init__(self, recording: Recording) -> None:
        kinds, prices, buys = recording.kinds, recording.prices, recording.buys
        executed, added, fell = np.isin(kinds, (EXECUTION, HIDDEN_EXECUTION)), kinds == ADD, kinds == FALL
        # What trades with bids of ours at its price or above: executions of bids, asks that arrive. So too for asks.
        self._low = np.where((buys & executed) | (~buys & added), prices, FAR)
        self._high = np.where((~buys & executed) | (buys & added), prices, -FAR)
        self._bids_fell, self._asks_fell = np.full(len(kinds), FAR), np.full(len(kinds), -FAR)
        # A fall clears all prices down to a best one, which comes into view and may cross ours.
        for bids, cleared, crossed in ((True, self._bids_fell, self._high), (False, self._asks_fell, self._low)):
            rows = np.flatnonzero(fell & (buys == bids))
            price, lots = (recording.bids if bids else recording.asks)[rows, 0].T
            cleared[rows] = crossed[rows] = np.where(lots > 0, price, -FAR if bids else FAR)
        self._any_fell = bool(fell.any())
        self._place = 2 * prices + buys
        self._executed = kinds == EXECUTION
        self._shown = _shown(recording)
        self._added_at = np.where((kinds == PARTIAL_CANCEL) | (kinds == DELETE), recording.added_at, FAR)
        self._unseen = (kinds == HIDDEN_EXECUTION) | (kinds == DARK_PRINT)

    def rows(self, begin: int, end: int, watches: Sequence[Watch], *, hidden: bool) -> list[int]:
        """Rows from `begin` to before `end`, in order, that may touch watched prices or, if `hidden`, hidden orders."""
        part = slice(begin, end)
        touched = self._unseen[part].copy() if hidden else np.zeros(end - begin, dtype=bool)
        for bids, reach, fell, outermost in (
            (True, self._low[part], self._bids_fell[part], max),
            (False, self._high[part], self._asks_fell[part], min),
        ):
            watched = [watch for watch in watches if watch.bids is bids]
            resting = [watch.price for watch in watched if watch.rests]
            if resting:
                touched |= reach <= max(resting) if bids else reach >= min(resting)
            if watched and self._any_fell:
                edge = outermost(watch.price for watch in watched)
                touched |= fell <= edge if bids else fell >= edge
            for watch in watched:
                here = np.flatnonzero(self._place[part] == 2 * watch.price + bids)
                touched[here] |= self._at_place(here + begin, watch)
        return (np.flatnonzero(touched) + begin).tolist()

    def _at_place(self, rows: Ints, watch: Watch) -> np.ndarray:
        """Of messages at a watched price: executions, cancels that move us up, and displays smaller than any before."""
        shown = self._shown[rows]
        least = np.minimum.accumulate(np.concatenate([[watch.deep], shown]))[:-1]
        return self._executed[rows] | (shown < least) | (self._added_at[rows] < watch.joined)


def _shown(recording: Recording) -> Ints:
    """Lots displayed at each message's own price and side after it; FAR where that is not known: beyond the recorded
    levels, or while the quotes are crossed."""
    shown = np.full(len(recording.kinds), FAR)
    for bids, side in ((True, recording.bids), (False, recording.asks)):
        rows = np.flatnonzero(recording.buys == bids)
        levels, price = side[rows], recording.prices[rows]
        lots = np.where(levels[..., 0] == price[:, None], levels[..., 1], 0).sum(axis=1)
        last_price, last_lots = levels[:, -1].T
        beyond = (last_lots > 0) & (price < last_price if bids else price > last_price)
        shown[rows] = np.where(beyond, FAR, lots)
    if recording.crossed is not None:
        shown[recording.crossed] = FAR
    return shown
