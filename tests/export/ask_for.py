"""Asks one question again and again, and prints what came of it as JSON.

It goes on until its standard input is closed.

Usage: python ask_for.py <address> <number of the item in the history>
"""

import json
import sys
import threading

import grpc
import numpy as np
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tfrs_timirec.export.messages import write

address, number = sys.argv[1:]
closed = threading.Event()


def wait_for_the_end() -> None:
    sys.stdin.read()
    closed.set()


threading.Thread(target=wait_for_the_end, daemon=True).start()
request = PredictRequest()
request.model_spec.name = "exact"
request.model_spec.signature_name = "recommend"
write(request.inputs["history"], np.array([[f"i{number}".encode()]], object))
requests, errors, versions, answers = 0, [], [], {}
with grpc.insecure_channel(address) as channel:
    stub = PredictionServiceStub(channel)
    stub.Predict(request, timeout=30)
    print("asking", flush=True)
    while not closed.is_set():
        requests += 1
        try:
            response = stub.Predict(request, timeout=30)
        except grpc.RpcError as error:
            errors.append(f"{error.code()}: {error.details()}")
            continue
        version = response.model_spec.version.value
        if not versions or versions[-1] != version:
            versions.append(version)
        items = list(response.outputs["item_ids"].string_val)
        found = answers.setdefault(version, [])
        if (text := b" ".join(items).decode()) not in found:
            found.append(text)
report = {"requests": requests, "errors": errors, "versions": versions, "answers": answers}
print(json.dumps(report))
