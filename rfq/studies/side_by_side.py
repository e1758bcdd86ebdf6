"""The same work on many arguments, in some processes side by side, told of as each is done."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

Result = TypeVar("Result")


def side_by_side(
    work: Callable[..., Result], arguments: Sequence[tuple[Any, ...]], jobs: int
) -> Iterator[tuple[int, Result]]:
    """Place of the arguments and result, in the order in which they are done; one job works here, in their order."""
    if jobs == 1:
        yield from ((place, work(*each)) for place, each in enumerate(arguments))
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        begun = {pool.submit(work, *each): place for place, each in enumerate(arguments)}
        for done in as_completed(begun):
            yield begun[done], done.result()
