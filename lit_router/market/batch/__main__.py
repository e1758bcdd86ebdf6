"""Compiles the steps of the shipped markets, so that nothing that starts later has to wait for it."""

from lit_router.market.batch.market import BatchedMarket
from lit_router.market.exchange import SLOTS
from lit_router.market.parameters import load, shipped

for name in shipped():
    BatchedMarket(load(name), [0], orders=SLOTS).compile()
