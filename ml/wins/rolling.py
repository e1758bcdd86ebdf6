"""What is remembered of keys (a client, an instrument, both), fading with time and shrunk to what is known above."""

from collections.abc import Hashable

DAY_S = 86_400.0


class Fading:
    """Sums for each key that halve every `half_life_s`, read as of a moment. Moments must not go back."""

    def __init__(self, half_life_s: float) -> None:
        self._half_life_s = half_life_s
        self._sums: dict[Hashable, tuple[float, float, float, float]] = {}

    def at(self, key: Hashable, now_s: float) -> tuple[float, float, float]:
        """(weight, weighted values, weighted squares)."""
        weight, total, squares, last_s = self._sums.get(key, (0.0, 0.0, 0.0, now_s))
        left = 0.5 ** ((now_s - last_s) / self._half_life_s)
        return weight * left, total * left, squares * left

    def add(self, key: Hashable, now_s: float, value: float, weight: float = 1.0) -> None:
        known, total, squares = self.at(key, now_s)
        self._sums[key] = (known + weight, total + weight * value, squares + weight * value * value, now_s)

    def shrunk(self, key: Hashable, now_s: float, prior: tuple[float, float], weight: float) -> tuple[float, float]:
        """Mean and variance, with `weight` observations of the prior mean and variance added."""
        known, total, squares = self.at(key, now_s)
        mean = (total + weight * prior[0]) / (known + weight)
        square = (squares + weight * (prior[1] + prior[0] ** 2)) / (known + weight)
        return mean, max(square - mean * mean, 1e-4)
