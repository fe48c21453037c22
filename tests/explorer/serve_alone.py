"""Serves one SavedModel over TF-Serving's REST, with tensorflow alone.

Usage: python serve_alone.py <version folder> <port>

It is written after TF-Serving's http_rest_api_handler.cc and json_tensor.cc, as far as the columnar
form goes: each input of the signature must be named, whether or not it has a default, and what is
no input is passed over.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

folder, port = Path(sys.argv[1]), int(sys.argv[2])
NAME, VERSION = folder.parent.name, folder.name
saved = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
definitions = saved.meta_graphs[0].signature_def
signatures = tf.saved_model.load(str(folder)).signatures


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status = {"error_code": "OK", "error_message": ""}
        version = {"version": VERSION, "state": "AVAILABLE", "status": status}
        named = {name: MessageToDict(definition) for name, definition in definitions.items()}
        spec = {"name": NAME, "signature_name": "", "version": VERSION}
        metadata = {"signature_def": {"signature_def": named}}
        answers = {
            f"/v1/models/{NAME}": {"model_version_status": [version]},
            f"/v1/models/{NAME}/metadata": {"model_spec": spec, "metadata": metadata},
        }
        if self.path in answers:
            return self.answer(answers[self.path])
        self.answer({"error": f"Malformed request: GET {self.path}"}, 404)

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != f"/v1/models/{NAME}:predict":
            return self.answer({"error": f"Malformed request: POST {self.path}"}, 404)
        name = asked.get("signature_name", "serving_default")
        inputs = {}
        for key, info in definitions[name].inputs.items():
            if key not in asked["inputs"]:
                told = f"Missing named input: {key} in 'inputs' object."
                return self.answer({"error": told}, 400)
            inputs[key] = tf.constant(asked["inputs"][key], info.dtype)
        outputs = signatures[name](**inputs).items()
        self.answer({"outputs": {key: tensor.numpy().tolist() for key, tensor in outputs}})

    def answer(self, content, status=200):
        # Strings come as bytes; -Infinity is no JSON, and TF-Serving writes it all the same.
        body = json.dumps(content, default=bytes.decode, indent=4).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *told):
        pass


server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
print("serving", flush=True)
server.serve_forever()
