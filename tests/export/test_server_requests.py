"""What the log and the metrics tell of requests."""

import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import requests
from grpc._cython import cygrpc

from tests.export.conftest import SLOW, Server, free_port, metric, request, wait_for
from tfrs_timirec.export.server.serve import is_worth_telling

CODE = grpc.StatusCode
HISTORY = [[b"i1", b"i2"]]


def test_what_ran_out_of_time_is_counted_so(slow_model):
    port = free_port()
    server = Server(slow_model, f"--metrics_port={port}")

    def count(status: str) -> float:
        labels = {"model": "exact", "signature": "recommend", "status": status}
        return metric(f"http://127.0.0.1:{port}/metrics", "timirec_requests_total", **labels)

    try:
        with server.stub() as stub:
            for _ in range(3):
                with pytest.raises(grpc.RpcError) as caught:
                    stub.Predict(request(steps=SLOW), timeout=1)
                assert caught.value.code() == CODE.DEADLINE_EXCEEDED
            # A client whose time is over cancels, and the server may hear that before its own clock
            # says so.
            assert wait_for(lambda: count("DEADLINE_EXCEEDED") + count("CANCELLED") == 3)
            assert (late := count("DEADLINE_EXCEEDED")) >= 1
            calls = [stub.Predict.future(request(steps=SLOW), timeout=60) for _ in range(2)]
            time.sleep(1)
            assert [call.cancel() for call in calls] == [True, True]
            assert wait_for(lambda: count("CANCELLED") == 5 - late)
            assert (count("DEADLINE_EXCEEDED"), count("OK")) == (late, 0)
    finally:
        server.stop()


@pytest.mark.long
def test_more_open_requests_than_allowed(serve, slow_model):
    server = serve(slow_model, "--concurrent_requests=1", "--rest_port=0")
    body = {"signature_name": "recommend", "inputs": {"steps": int(SLOW)}}
    with ThreadPoolExecutor(1) as pool, server.stub() as stub:
        calls = [stub.Predict.future(request(steps=SLOW), timeout=60) for _ in range(2)]
        by_rest = []

        def turned_away_by_rest() -> bool:
            if not by_rest or by_rest[-1].done():
                # The first to come in, or turned away by the question below.
                url = f"{server.url}/exact:predict"
                by_rest.append(pool.submit(requests.post, url, json=body, timeout=60))
            answered = requests.get(f"{server.url}/exact", timeout=20)
            return answered.status_code == 429 and "open already" in answered.json()["error"]

        try:
            assert wait_for(lambda: any(call.done() for call in calls))
            (turned_away,) = [call for call in calls if call.done()]
            assert turned_away.code() == CODE.RESOURCE_EXHAUSTED
            assert wait_for(turned_away_by_rest)
        finally:
            server.stop()


def test_a_request_has_an_id(server):
    with server.stub() as stub:
        for metadata, pattern in (((("x-request-id", "abc-7"),), "abc-7"), ((), "[0-9a-f]{32}")):
            _, call = stub.Predict.with_call(
                request(history=HISTORY), timeout=60, metadata=metadata
            )
            answered = dict(call.trailing_metadata())["x-request-id"]
            assert re.fullmatch(pattern, answered)
            line = re.compile(rf"INFO {answered} exact/recommend OK [\d.]+ ms")
            assert wait_for(lambda line=line: any(map(line.search, list(server.log))))
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(
                request(history=HISTORY, k=0), timeout=60, metadata=(("x-request-id", "d" * 500),)
            )
        assert dict(caught.value.trailing_metadata())["x-request-id"] == "d" * 128
    line = re.compile("INFO d{128} exact/recommend INVALID_ARGUMENT")
    assert wait_for(lambda: any(map(line.search, list(server.log))))


def test_a_client_that_goes_during_its_answer_leaves_no_traceback(caplog):
    """gRPC logs one when it notices at the wrong moment, once in some hundred times."""
    log = logging.getLogger("grpc._cython.cygrpc")
    log.addFilter(is_worth_telling)
    try:
        for error in (cygrpc.ExecuteBatchError("execute_batch", ()), ValueError("another"), True):
            log.error("raised by servicer method", exc_info=error)
    finally:
        log.removeFilter(is_worth_telling)
    assert "ExecuteBatchError" not in caplog.text and "ValueError: another" in caplog.text
    assert caplog.text.count("raised by") == 2


def test_latencies_are_told_by_signature(server):
    def count() -> float:
        name = "timirec_request_seconds_count"
        return metric(server.metrics, name, model="exact", signature="user_vectors")

    before = count()
    with server.stub() as stub:
        stub.Predict(request("user_vectors", history=HISTORY), timeout=60)
    assert count() == before + 1
