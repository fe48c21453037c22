"""The model card of an exported version."""

import json
from collections.abc import Container
from dataclasses import asdict
from importlib.metadata import version

import tensorflow as tf
import yaml
from tensorflow.core.framework.tensor_shape_pb2 import TensorShapeProto
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo

from export.settings import ExportSettings
from tfrs_timirec.training.run import Run
from tfrs_timirec.training.session import Session

PACKAGES = ("tensorflow", "keras", "tensorflow-recommenders", "scann")


def model_card(
    run: Run,
    session: Session,
    settings: ExportSettings,
    search: str,
    padding: str | int,
    saved: dict[str, SignatureDef],
) -> str:
    """Markdown: metrics, data, settings and the signatures.

    Args:
        run: The run that was exported.
        session: Its data and model.
        settings: Of the export.
        search: How the version finds the best items, in words.
        padding: The id that pads.
        saved: The signatures of the SavedModel, by name.

    Returns:
        The text of the card.
    """
    store = session.store
    metrics = json.loads((run.folder / "metrics.json").read_text())["test"]
    lines = [
        f"# {type(session.model).__name__} for {session.settings.data.source}",
        "",
        f"Trained in the run `{run.folder.name}` with seed {session.settings.seed} on "
        f"{len(store.items):,} interactions of {store.num_users:,} users with "
        f"{store.num_items:,} items (SHA-256 of the sequences: `{store.digest}`). Retrieval: "
        f"{search}. {', '.join(f'{name} {version(name)}' for name in PACKAGES)}.",
        "",
        "## Test metrics",
        "",
        "`sampled`: the target among fixed random items that the user never touched; `full`: among "
        "the whole catalogue. Both are those of the trained model with exact retrieval.",
        "",
    ]
    names = list(next(iter(metrics.values()))["full"])
    lines += [f"| system | protocol | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for system, protocols in metrics.items():
        for protocol, values in protocols.items():
            cells = " | ".join(f"{values[name]:.4f}" for name in names)
            lines.append(f"| {system} | {protocol} | {cells} |")
    lines += [
        "",
        "## Signatures",
        "",
        f"Ids are those of the log; `{padding!r}` pads. Histories are oldest first and of any "
        f"length: the newest {session.settings.model.history_length} known ids count.",
        "",
        "| signature | inputs | outputs |",
        "|---|---|---|",
    ]
    for name, signature in sorted(saved.items()):
        optional = signature.defaults.keys()
        inputs, outputs = _tensors(signature.inputs, optional), _tensors(signature.outputs)
        lines.append(f"| `{name}` | {inputs} | {outputs} |")
    for title, values in (
        ("Settings of the training", asdict(session.settings)),
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
