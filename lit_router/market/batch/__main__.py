"""Compiles the steps of the shipped markets, so that nothing that starts later has to wait for it.

`python -m lit_router.market.batch [all]`: in the exchange's shape, or in all shapes that are in use.
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from lit_router.market.batch.market import USUAL_SLOTS, BatchedMarket
from lit_router.market.exchange import SLOTS
from lit_router.market.parameters import load, shipped


def compile_for(name: str, slots: int) -> None:
    """Compiles the steps of that parameter set, in markets of `slots` order slots."""
    BatchedMarket(load(name), [0], orders=slots).compile()


if __name__ == "__main__":
    wanted = (USUAL_SLOTS, SLOTS) if sys.argv[1:] == ["all"] else (SLOTS,)
    with ProcessPoolExecutor(2, get_context("fork")) as processes:
        jobs = [processes.submit(compile_for, name, slots) for slots in wanted for name in shipped()]
        for job in jobs:
            job.result()
