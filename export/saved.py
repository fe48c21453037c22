"""What a SavedModel on disk says of itself."""

from pathlib import Path

from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel


def read_signatures(version: Path) -> dict[str, SignatureDef]:
    """The signatures that clients can name.

    Args:
        version: The folder of the SavedModel.

    Raises:
        OSError: If it holds no SavedModel.
        google.protobuf.message.DecodeError: If the file is damaged.
    """
    graph = SavedModel.FromString((version / "saved_model.pb").read_bytes()).meta_graphs[0]
    return {
        name: signature
        for name, signature in graph.signature_def.items()
        if signature.method_name == "tensorflow/serving/predict"
    }
