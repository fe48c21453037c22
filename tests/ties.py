"""Scores of which many are equal, and their order."""

import numpy as np
from hypothesis import strategies as st


@st.composite
def scores(draw, most_rows: int, most: int) -> np.ndarray:
    """float32 [rows, n] of small whole numbers and −inf."""
    shape = draw(st.integers(1, most_rows)), draw(st.integers(1, most))
    size = shape[0] * shape[1]
    numbers = st.integers(-3, 3).map(float) | st.just(-np.inf)
    drawn = draw(st.lists(numbers, min_size=size, max_size=size))
    return np.array(drawn, np.float32).reshape(shape)


def sorted_beginning(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of the k largest of each row, of equal ones the first one first, and these."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)
