"""What the next steps need is made while a step runs."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(values: Iterator[T], count: int) -> Iterator[T]:
    """The same values in the same order, made in a thread before they are asked for.

    Args:
        values: What makes them; only that thread uses it until this iterator is closed.
        count: How many may wait.

    Raises:
        Exception: What `values` raises, when its turn comes.
    """
    end = object()
    with ThreadPoolExecutor(1, "ahead") as pool:
        waiting = deque(pool.submit(next, values, end) for _ in range(count))
        try:
            while (value := waiting.popleft().result()) is not end:
                waiting.append(pool.submit(next, values, end))
                yield value
        finally:
            pool.shutdown(cancel_futures=True)
