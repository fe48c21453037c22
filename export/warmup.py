"""Requests that a server sends to a version before it serves it."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

from export.vocabulary import Vocabulary

BATCHES = (1, 8, 64)


def write_warmup(
    version: Path, model: str, vocabulary: Vocabulary, history_length: int, times: bool
) -> None:
    """Writes `assets.extra/tf_serving_warmup_requests`: each signature in some batch sizes.

    Args:
        version: The folder of the SavedModel.
        model: The name that it will be served under.
        vocabulary: Whose first items the histories are made of.
        history_length: L.
        times: Whether the signatures take the times of the history.
    """
    ids = vocabulary.example(history_length)
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in BATCHES:
            history = np.tile(ids, (size, 1))
            user = {"history": history}
            if times:
                user["times"] = np.tile(np.arange(len(ids)), (size, 1))
            rest = {
                "serving_default": {},
                "recommend": {"k": np.ones(size, np.int32), "exclude": history[:, :1]},
                "user_vectors": {},
                "score": {"candidates": history},
            }
            for signature, inputs in rest.items():
                request = PredictRequest()
                request.model_spec.name = model
                request.model_spec.signature_name = signature
                for name, value in {**user, **inputs}.items():
                    request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
                log = PredictionLog(predict_log=PredictLog(request=request))
                writer.write(log.SerializeToString())
