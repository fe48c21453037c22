"""Requests that a server sends to a version before it serves it."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog

from tfrs_timirec.export.vocabulary import Vocabulary

BATCHES = (1, 8, 64)


def write_warmup(
    version: Path,
    model: str,
    vocabulary: Vocabulary,
    history_length: int,
    most_users: int,
    signatures: dict[str, SignatureDef],
) -> None:
    """Writes `assets.extra/tf_serving_warmup_requests`: each signature in some batch sizes.

    Args:
        version: The folder of the SavedModel.
        model: The name that it will be served under.
        vocabulary: Whose first items the histories are made of.
        history_length: L.
        most_users: Of a request; larger batches are left out.
        signatures: Those of the SavedModel, by name.
    """
    ids = vocabulary.example(history_length)
    as_trained = tf.make_ndarray(signatures["recommend"].defaults["interest_weights"])
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for size in filter(lambda size: size <= most_users, BATCHES):
            history = np.tile(ids, (size, 1))
            values = {
                "history": history,
                "times": np.tile(np.arange(len(ids)), (size, 1)),
                "candidates": history,
                "exclude": history[:, :1],
                "among": np.where(np.arange(size)[:, None] % 2, history, vocabulary.padding),
                "interest_weights": np.repeat(as_trained, size, axis=0),
                "k": np.ones(size, np.int32),
                "diversity": np.zeros(size, np.float32),
            }
            for name, signature in signatures.items():
                request = PredictRequest()
                request.model_spec.name = model
                request.model_spec.signature_name = name
                for key in signature.inputs:
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(values[key]))
                log = PredictionLog(predict_log=PredictLog(request=request))
                writer.write(log.SerializeToString())
