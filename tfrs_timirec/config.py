"""Typed settings of a run: each field is a YAML key and a command-line flag."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from jsonargparse.typing import (
    ClosedUnitInterval,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    restricted_number_type,
    restricted_string_type,
)

from tfrs_timirec.errors import UserError

Share = restricted_number_type("Share", float, [(">=", 0), ("<", 1)])
MetricName = restricted_string_type("MetricName", r"^((HR|NDCG)@[1-9]\d*|MRR)$")

SystemName = Literal[
    "popularity", "youtube_dnn", "gru4rec", "mind", "comirec", "sasrec", "tisasrec", "timirec"
]


@dataclass
class DataSettings:
    """Where the log is and how it becomes sequences.

    Args:
        source: `synthetic`, `beauty`, `ml-1m`, `ml-100k`, or the path or glob of your own log.
        format: The files' format; `auto` decides by their ending.
        user_column: The column of the user's id.
        item_column: The column of the item's id.
        time_column: The column of the time (numbers, or dates and times); null where the
            file order is the order in time.
        rating_column: The column of the rating, needed with `min_rating` only.
        min_rating: Interactions rated lower are dropped; null keeps all.
        core: Users and items with fewer interactions are dropped, repeatedly, until none is left.
        folder: Where downloads and prepared sequences are kept.
    """

    source: str = "synthetic"
    format: Literal["auto", "csv", "tsv", "parquet", "movielens", "inter", "sequences"] = "auto"
    user_column: str = "user_id"
    item_column: str = "item_id"
    time_column: str | None = "timestamp"
    rating_column: str | None = None
    min_rating: float | None = None
    core: PositiveInt = 5
    folder: str = "data"


@dataclass
class ModelSettings:
    """The recommender and its shape (the defaults are those of TiMiRec's authors for Beauty).

    A setting that not all systems have names those that do; for the others it must be left alone.

    Args:
        system: The recommender.
        embedding_size: D, the length of item, interest and query vectors.
        num_interests: K, the interest vectors of a user (comirec, mind, timirec).
        history_length: L, the newest interactions that the model sees.
        attention_width: The inner width of the self-attention, rows of W1 (comirec, timirec).
        transformer: Position embeddings and a transformer block first, the "+" variants (comirec,
            timirec).
        predictor_layers: Dense layers that turn the GRU's state into the K logits (timirec).
        predictor_dropout: Share of the predictor's activations dropped in training (timirec).
        temperature: T of the soft labels and of the distillation (timirec).
        pretraining: Trains the extractor alone first; false trains everything from scratch, an
            ablation (timirec).
        stop_gradient: Keeps the distillation's gradient out of the soft labels; false lets it in,
            an ablation (timirec).
        label_power: p of the label-aware attention; null for infinite, which takes the interest
            that matches the target best (mind).
        max_interval: The longest time between two items that is told from longer ones, in units of
            the shortest one in the history (tisasrec).
        dropout: Share dropped in training of the history's embeddings and of the transformer
            block's activations (comirec, sasrec, timirec, tisasrec).
        objective: What is learned; `bpr` tells each target from its own negative, `gbce` and
            `sampled_softmax` from those of the whole batch, `softmax` from the whole catalogue.
        label_smoothing: What of the target's probability the softmaxes give to the other items.
        calibration: t of gBCE, from 0, plain binary cross-entropy, to 1, calibrated.
    """

    system: SystemName = "timirec"
    embedding_size: PositiveInt = 64
    num_interests: PositiveInt = 4
    history_length: PositiveInt = 20
    attention_width: PositiveInt = 8
    transformer: bool = False
    predictor_layers: PositiveInt = 1
    predictor_dropout: Share = 0.0
    temperature: PositiveFloat = 0.1
    pretraining: bool = True
    stop_gradient: bool = True
    label_power: PositiveFloat | None = None
    max_interval: PositiveInt = 512
    dropout: Share = 0.0
    objective: Literal["bpr", "sampled_softmax", "gbce", "softmax"] = "bpr"
    label_smoothing: Share = 0.0
    calibration: ClosedUnitInterval = 0.75


@dataclass
class TrainingSettings:
    """How each of the two phases is trained.

    Args:
        batch_size: Instances a step.
        learning_rate: Adam's step size.
        schedule: What becomes of it: `constant`, or falling to 0 over `max_epochs` as a `cosine`.
        weight_decay: L2 coefficient, added to the gradient.
        initial_stddev: Standard deviation of the initial weights.
        max_epochs: Most epochs of a phase.
        patience: Epochs without a better validation metric after which a phase stops.
        decline: Epochs of uninterrupted decline of that metric after which a phase stops.
        deterministic: Same machine, same seed, same weights, bit for bit.
    """

    batch_size: PositiveInt = 256
    learning_rate: PositiveFloat = 1e-3
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: NonNegativeFloat = 1e-6
    initial_stddev: PositiveFloat = 0.01
    max_epochs: PositiveInt = 200
    patience: PositiveInt = 20
    decline: PositiveInt = 10
    deterministic: bool = True


@dataclass
class EvaluationSettings:
    """How a model is judged.

    Args:
        cutoffs: The N of HR@N and NDCG@N.
        negatives: Items drawn for each user, among those never touched, beside the target.
        metric: What early stopping watches on the validation split: HR@N, NDCG@N or MRR.
    """

    cutoffs: list[PositiveInt] = field(default_factory=lambda: [5, 10, 20])
    negatives: PositiveInt = 1000
    metric: MetricName = "HR@5"


MetricName = "HR@5"


@dataclass
class Settings:
    """Everything that decides what a run computes.

    Args:
        data: Where the log is and how it becomes sequences.
        model: The model's shape.
        training: How each of the two phases is trained.
        evaluation: How the model is judged.
        seed: Everything random hangs on it.
    """

    data: DataSettings = field(default_factory=DataSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    seed: NonNegativeInt = 0


def settings_parser(**kwargs) -> ArgumentParser:
    """A parser with a flag for each setting, `--config` and `--print_config`."""
    parser = ArgumentParser(**kwargs)
    parser.add_argument("--config", action="config", help="A YAML file of settings.")
    parser.add_class_arguments(Settings, as_group=False)
    return parser


def settings_of(parsed: Namespace) -> Settings:
    """The settings in what a `settings_parser` parsed."""
    values = plain(parsed.as_dict())
    return Settings(
        DataSettings(**values["data"]),
        ModelSettings(**values["model"]),
        TrainingSettings(**values["training"]),
        EvaluationSettings(**values["evaluation"]),
        values["seed"],
    )


def plain(parsed: dict) -> dict:
    """Parsed values as plain Python numbers and strings.

    The parser's own number types would not be written as numbers to YAML, and not every library
    takes them.
    """
    return json.loads(json.dumps(parsed, default=str))


def settings_from(values: dict, source: Path) -> Settings:
    """Typed settings from a file's content.

    Args:
        values: Nested settings.
        source: The file, for the error.

    Raises:
        UserError: If a field is unknown or its value is not of its type.
    """
    try:
        return settings_of(settings_parser(exit_on_error=False).parse_object(values))
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(f"{source} is damaged: {error}") from None
