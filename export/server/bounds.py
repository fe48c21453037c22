"""What a request may ask for, before memory is taken for it."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from tfrs_timirec.export.server.errors import invalid
from tfrs_timirec.export.server.settings import ServerSettings

# NumPy knows 64 dimensions at most; no signature needs more than a few.
MOST_DIMENSIONS = 8


def check_shapes(shapes: Mapping[str, Sequence[int]], settings: ServerSettings) -> None:
    """Refuses shapes that are too large; one of millions of rows takes only a few bytes.

    Args:
        shapes: Of the request's inputs by name.
        settings: The bounds.

    Raises:
        RequestError: If an input has too many dimensions, rows or values.
    """
    for name, shape in shapes.items():
        if len(shape) > MOST_DIMENSIONS:
            raise invalid(
                f"The input {name} has {len(shape)} dimensions; at most {MOST_DIMENSIONS} may be."
            )
    rows = 1
    for name, shape in shapes.items():
        if shape and shape[0] > settings.request_rows:
            raise invalid(
                f"The input {name} has {shape[0]} rows; at most {settings.request_rows} may be in "
                f"a request."
            )
        rows = max([rows, *shape[:1]])
    for name, shape in shapes.items():
        elements = rows * math.prod(shape[1:])
        if elements > settings.input_elements:
            raise invalid(
                f"The input {name} has {elements} values in {rows} rows; at most "
                f"{settings.input_elements} may be in a request."
            )


def check_answer(inputs: Mapping[str, np.ndarray], settings: ServerSettings) -> None:
    """Refuses to answer with too many items.

    Args:
        inputs: The request's arrays by name, the defaults among them.
        settings: The bounds.

    Raises:
        RequestError: If the rows times the largest `k` are too many.
    """
    if not inputs.get("k", np.empty(0)).size:
        return
    rows = max(len(array) for array in inputs.values() if array.ndim)
    most = int(inputs["k"].max())
    if rows * most > settings.input_elements:
        raise invalid(
            f"k is {most} in {rows} rows; at most {settings.input_elements} items may be asked "
            f"for in a request."
        )
