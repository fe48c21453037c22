"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("TFRS_TIMIREC_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture
def shared_data():
    """A function from a file's name to its path in the optional folder of real data."""

    def find(name: str) -> Path:
        path = SHARED / "data" / name
        if not path.exists():
            pytest.skip(f"{path} is absent: set TFRS_TIMIREC_SHARED to the folder of test data")
        return path

    return find
