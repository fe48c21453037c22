"""The server's memory does not grow: the short form of benchmarks/soak.py."""

import pytest

from benchmarks.soak import soak


@pytest.mark.long
def test_memory_after_requests_and_swaps_is_what_it_was(exports):
    found = soak(exports["timirec"], "exact", requests=1_500, swaps=2)
    # The first swap makes the server hold two versions for a moment, as each further one does.
    _, first, *_, last = found["sizes"]
    assert last <= 1.05 * first, found
    assert found["statuses"]["OK"] > 1_000
    assert found["statuses"].keys() <= {"OK", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED"}
