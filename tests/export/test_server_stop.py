"""The server stops, and every request that it has received is answered."""

import asyncio
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import requests
from tensorflow_serving.apis import prediction_service_pb2_grpc
from tensorflow_serving.apis.predict_pb2 import PredictResponse
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tests.export.conftest import SLOW, free_port, metric, request, wait_for
from tfrs_timirec.export.client import Client

CODE = grpc.StatusCode
HISTORY = [[b"i1", b"i2"]]


def test_sigterm_drains(serve, slow_model):
    port = free_port()
    server = serve(slow_model, "--workers=1", "--drain_seconds=300", f"--metrics_port={port}")
    url = f"http://127.0.0.1:{port}/metrics"
    with server.stub() as stub:
        calls = [stub.Predict.future(request(steps=SLOW // 20), timeout=300) for _ in range(2)]
        assert wait_for(lambda: metric(url, "timirec_waiting_requests") == 1)
        assert not all(call.done() for call in calls)
        server.process.send_signal(signal.SIGTERM)
        assert {call.code() for call in calls} == {CODE.OK}
    assert server.process.wait(timeout=20) == 143


@pytest.mark.long
def test_no_request_by_rest_is_lost_under_load(serve, exports):
    server = serve(exports["timirec"], "--drain_seconds=30", "--rest_port=0")
    body = {"inputs": {"history": [["i1", "i2"]]}}

    def client() -> tuple[set[int], Exception]:
        found = set()
        with requests.Session() as session:
            while True:
                try:
                    answer = session.post(f"{server.url}/exact:predict", json=body, timeout=60)
                except requests.ConnectionError as error:
                    return found, error
                found.add(answer.status_code)

    with ThreadPoolExecutor(16) as pool:
        clients = [pool.submit(client) for _ in range(16)]
        time.sleep(2)
        server.process.send_signal(signal.SIGTERM)
        ended = [client.result(timeout=60) for client in clients]
    assert all(codes == {200} for codes, _ in ended), ended
    # The server was gone when these were sent: what it had received is answered.
    assert all("Connection refused" in str(error) for _, error in ended), ended
    assert server.process.wait(timeout=20) == 143


@pytest.mark.long
@pytest.mark.parametrize("clients", [16, 64])
def test_no_request_is_lost_under_load(serve, exports, clients):
    """gRPC drops what it has received and not yet handed over when it is stopped."""
    server = serve(exports["timirec"], "--drain_seconds=30")
    message = request(history=HISTORY)
    ended, begun = [], set()

    async def client():
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(server.address, options=options) as channel:
            stub = PredictionServiceStub(channel)
            answered = 0
            try:
                while True:
                    await stub.Predict(message, timeout=60)
                    answered += 1
                    begun.add(stub)
            except grpc.aio.AioRpcError as error:
                ended.append((answered, error.code(), error.details()))

    async def load():
        tasks = [asyncio.create_task(client()) for _ in range(clients)]
        while len(begun) < clients and not ended:
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*tasks), 60)

    asyncio.run(load())
    assert all(answered for answered, _, _ in ended)
    # The server was gone when these were sent.
    assert {code for _, code, _ in ended} == {CODE.UNAVAILABLE}, ended
    assert server.process.wait(timeout=20) == 143


def test_a_long_computation_does_not_outlast_the_drain(serve, slow_model):
    port = free_port()
    server = serve(slow_model, "--drain_seconds=1", f"--metrics_port={port}")
    url = f"http://127.0.0.1:{port}/metrics"
    with server.stub() as stub:
        call = stub.Predict.future(request(steps=SLOW), timeout=60)
        assert wait_for(lambda: metric(url, "timirec_batch_rows_count") == 1)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert call.code() == CODE.UNAVAILABLE
        assert "before the answer was computed" in call.details()
        assert server.process.wait(timeout=30) == 143
        # The whole computation takes half a minute.
        assert time.monotonic() - began < 15


def test_a_watcher_of_the_health_does_not_hold_the_server(serve, exports):
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    server = serve(exports["popularity"], "--drain_seconds=30")
    with grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        server.process.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert server.process.wait(timeout=20) == 143


@pytest.mark.parametrize("code", [CODE.CANCELLED, CODE.UNAVAILABLE])
def test_the_client_asks_again_when_a_server_stops(exports, code):
    """As TF-Serving does when it is stopped, without a word to the client."""
    asked = []

    class Stopping(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802 - the protocol's name
            asked.append(request)
            if len(asked) == 1:
                context.abort(code, "Stopping.")
            response = PredictResponse()
            response.outputs["query_vectors"].CopyFrom(request.inputs["history"])
            return response

        def GetModelMetadata(self, request, context):  # noqa: N802 - the protocol's name
            from tensorflow_serving.apis.get_model_metadata_pb2 import (
                GetModelMetadataResponse,
                SignatureDefMap,
            )

            from tfrs_timirec.export.saved import read_signatures

            signatures = read_signatures(exports["timirec"] / "exact" / "1")
            response = GetModelMetadataResponse()
            response.metadata["signature_def"].Pack(SignatureDefMap(signature_def=signatures))
            return response

    server = grpc.server(ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Stopping(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with Client(f"127.0.0.1:{port}") as client:
            assert client.user_vectors([["i1"]]).tolist() == [[b"", b"i1"]]
    finally:
        server.stop(0)
    assert len(asked) == 2
