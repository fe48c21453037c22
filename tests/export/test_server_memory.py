"""The server's memory does not grow: the short form of benchmarks/soak.py."""

import pytest

from benchmarks.soak import soak


@pytest.mark.long
def test_memory_after_requests_and_swaps_is_what_it_was(exports):
    found = soak(exports["timirec"], "exact", requests=1_500, swaps=2)
    # The first swap makes the server hold two versions for a moment, as each further one does.
    _, first, *_, last = found["sizes"]
    assert last <= 1.05 * first, found
    by_grpc, by_rest = found["statuses"]["OK"], found["statuses"][200]
    assert min(by_grpc, by_rest) > 500, found
    expected = {"OK", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", 200, 400, "broken off"}
    assert found["statuses"].keys() <= expected
