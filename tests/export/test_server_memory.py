"""The server's memory does not grow: the short form of benchmarks/soak.py."""

from benchmarks.soak import soak


def test_memory_after_requests_and_swaps_is_what_it_was(exports):
    found = soak(exports["timirec"], "exact", requests=4_000, swaps=3)
    assert found["last"] <= 1.05 * found["first"], found
    assert found["statuses"]["OK"] > 3_000
    assert found["statuses"].keys() <= {"OK", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED"}
