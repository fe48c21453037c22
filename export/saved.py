"""What SavedModels on disk say of themselves."""

from pathlib import Path

from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

# TF-Serving's protocol has 64 bits for a version's number.
LARGEST_VERSION = 2**63 - 1


def numbered_versions(model: Path) -> dict[int, Path]:
    """The versions of a model by their numbers.

    Args:
        model: The folder of the versions; what is not named by a number of 64 bits is none.

    Raises:
        OSError: If the folder cannot be read.
    """
    paths = [path for path in model.iterdir() if path.name.isascii() and path.name.isdecimal()]
    return {int(path.name): path for path in paths if int(path.name) <= LARGEST_VERSION}


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
