"""Forecasts of the next minute: price, spread, volume, dark liquidity, and what an order of ours would move."""
