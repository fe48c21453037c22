"""The model card of an exported version."""

from collections.abc import Container
from dataclasses import asdict
from importlib.metadata import version

import tensorflow as tf
import yaml
from tensorflow.core.framework.tensor_shape_pb2 import TensorShapeProto
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from tfrs_timirec.export.extras import models
from tfrs_timirec.export.settings import ExportSettings
from tfrs_timirec.recommender import Recommender

PACKAGES = ("tensorflow", "keras", "tensorflow-recommenders")


def model_card(
    recommender: Recommender,
    settings: ExportSettings,
    search: str,
    padding: str | int,
    saved: dict[str, SignatureDef],
) -> str:
    """Markdown: metrics, data, settings and the signatures.

    Args:
        recommender: Which was exported.
        settings: Of the export.
        search: How the version finds the best items, in words.
        padding: The id that pads.
        saved: The signatures of the SavedModel, by name.

    Returns:
        The text of the card.
    """
    trained, sequences = recommender.trained_with, recommender.sequences
    # The index of ScaNN, where there is one, is as its package reads it.
    packages = [*PACKAGES, *models()[1:]]
    lines = [
        f"# {recommender.system.title} for {trained.data.source}",
        "",
        f"Trained with seed {trained.seed} on {len(sequences.items):,} interactions of "
        f"{sequences.num_users:,} users with {sequences.num_items:,} items (SHA-256 of the "
        f"sequences: `{sequences.digest}`). Retrieval: {search}. "
        f"{', '.join(f'{name} {version(name)}' for name in packages)}.",
        "",
        "## Test metrics",
        "",
    ]
    metrics = recommender.metrics.get("test", {})
    if metrics:
        names = list(next(iter(metrics.values()))["full"])
        lines += [
            "`sampled`: the target among fixed random items that the user never touched; `full`: "
            "among the whole catalogue. Both are those of the trained model with exact retrieval.",
            "",
            f"| system | protocol | {' | '.join(names)} |",
            "|---" * (len(names) + 2) + "|",
        ]
    else:
        lines.append("It was not evaluated.")
    for system, protocols in metrics.items():
        for protocol, values in protocols.items():
            cells = " | ".join(f"{values[name]:.4f}" for name in names)
            lines.append(f"| {system} | {protocol} | {cells} |")
    lines += [
        "",
        "## Signatures",
        "",
        f"Ids are those of the log; `{padding!r}` pads. Histories are oldest first and of any "
        f"length: the newest {trained.model.history_length} known ids count.",
        "",
        "| signature | inputs | outputs |",
        "|---|---|---|",
    ]
    for name, signature in sorted(saved.items()):
        optional = signature.defaults.keys()
        inputs, outputs = _tensors(signature.inputs, optional), _tensors(signature.outputs)
        lines.append(f"| `{name}` | {inputs} | {outputs} |")
    for title, values in (
        ("Settings of the training", asdict(trained)),
        ("Settings of the export", {k: v and str(v) for k, v in asdict(settings).items()}),
    ):
        text = yaml.safe_dump(values, sort_keys=False).strip()
        lines += ["", f"## {title}", "", "```yaml", text, "```"]
    return "\n".join(lines) + "\n"


def _tensors(infos: dict[str, TensorInfo], optional: Container[str] = ()) -> str:
    return "<br>".join(
        f"`{name}` {tf.dtypes.as_dtype(info.dtype).name} {_shape(info.tensor_shape)}"
        f"{' (optional)' if name in optional else ''}"
        for name, info in sorted(infos.items())
    )


def _shape(shape: TensorShapeProto) -> str:
    if shape.unknown_rank:
        return "[] or [?]"
    return f"[{', '.join('?' if d.size < 0 else str(d.size) for d in shape.dim)}]"
