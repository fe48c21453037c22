"""Typed settings of a run: each field is a YAML key and a command-line flag."""

import argparse
import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace
from jsonargparse.typing import restricted_string_type

from tfrs_timirec.errors import UserError
from tfrs_timirec.models.settings import ModelSettings
from tfrs_timirec.ranges import (
    Count,
    Elements,
    Rate,
    Rating,
    Scale,
    ScaleOrNone,
    Seed,
    Share,
    Size,
)

MetricName = restricted_string_type(
    "MetricName", r"^((HR|NDCG|Recall|Precision|MAP)@[1-9]\d{0,5}|MRR)$"
)
DEFAULT_SYSTEM = "timirec"
_OF_OBJECTIVES = {
    "label_smoothing": ("sampled_softmax", "softmax"),
    "calibration": ("gbce",),
    "hardness": ("sampled_softmax",),
}
_BEGINS = (
    yaml.FlowSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.BlockMappingStartToken,
)
_ENDS = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken, yaml.BlockEndToken)
_CONFIGS = Path(__file__).with_name("configs")
# Far more than settings have, far less than the parsers of YAML can take.
_DEEPEST = 20


@dataclass
class DataSettings:
    """Where the log is, how it becomes sequences, and how these are split.

    Args:
        source: `synthetic`, `beauty`, `ml-1m`, `ml-100k`, or the path or glob of your own log.
        format: The files' format; `auto` decides by their extension.
        user_column: The column of the user's id.
        item_column: The column of the item's id.
        time_column: The column of the time (numbers, or dates and times); null where the
            file order is the order in time.
        rating_column: The column of the rating, needed with `min_rating` only.
        min_rating: Interactions rated lower are dropped; null keeps all.
        core: Users and items with fewer interactions are dropped, repeatedly, until none are left.
        split: `leave_one_out` tests on each user's last item and validates on the one before;
            `temporal` trains on what came before a point in time, validates on the next stretch
            and tests on the last; `none` trains on everything.
        validation_from: Where the temporal split's validation begins: a date, a number in the
            log's unit of time, or a share of the interactions between 0 and 1.
        test_from: Where its test begins, likewise.
        folder: Where downloads and prepared sequences are kept.
        engine: What prepares the sequences of files: `duckdb`, in this process, or `spark`; the
            result is the same.
        master: The URL of Spark's master, as `local[*]`, `spark://host:7077` or `yarn`.
        shard_size: About how many interactions of the sequences a training holds in memory at
            once; with more, they are kept in several shards.
    """

    source: str = "synthetic"
    format: Literal["auto", "csv", "tsv", "parquet", "movielens", "inter", "sequences"] = "auto"
    user_column: str = "user_id"
    item_column: str = "item_id"
    time_column: str | None = "timestamp"
    rating_column: str | None = None
    min_rating: Rating | None = None
    core: Count = 5
    split: Literal["leave_one_out", "temporal", "none"] = "leave_one_out"
    validation_from: float | str = 0.8
    test_from: float | str = 0.9
    folder: str = "data"
    engine: Literal["duckdb", "spark"] = "duckdb"
    master: str = "local[*]"
    shard_size: Elements = 20_000_000


@dataclass
class TrainingSettings:
    """How each of the two phases is trained.

    Args:
        optimizer: `adam`; or, for many items, one that changes only the item vectors that a step
            touches: `lazy_adam`, or `rowwise_adagrad` with one number an item in place of Adam's
            two vectors.
        batch_size: Targets per step.
        unit: `instance` takes the targets one by one, each with the items before it; `user` takes
            a user's items, cut into windows of L where there are more, and all their targets at
            once, of which a step then has at most `batch_size`.
        learning_rate: Adam's step size.
        second_learning_rate: That of the second phase, which begins with trained interests; null
            for the same.
        schedule: How it changes: `constant`, or falling to 0 over `max_epochs` as a `cosine`.
        weight_decay: L2 coefficient, added to the gradient.
        teachers: Run folders of recommenders trained on the same log with a softmax, such as
            `[runs/a, runs/b]`. With the objective `softmax`, the share `model.label_smoothing` of
            what is learned is then what they expect of all items (the softmax of their mean
            scores), and not the same for every other item. They read the histories that are
            trained on, no longer ones, and are computed in each step.
        item_dropout: Share of the items of a history that are left out, others in each epoch; by
            user, also as targets. It helps where the log is short, and costs more epochs.
        initial_stddev: Standard deviation of the initial weights; null for the system's own, 0.01,
            or 0.1 for MIND's interests, which would vanish with less.
        max_epochs: The most epochs of a phase.
        patience: Epochs without a better validation metric after which a phase stops. A `cosine`
            that it ends early never comes to its small steps.
        decline: Epochs of uninterrupted decline of that metric after which a phase stops.
        precision: What the layers compute in: `float32`, or `bfloat16`, which GPUs of late are
            faster in; weights, losses and the optimiser are float32 in both.
        deterministic: Same machine, same seed, same weights, bit for bit.
    """

    optimizer: Literal["adam", "lazy_adam", "rowwise_adagrad"] = "adam"
    batch_size: Size = 256
    unit: Literal["instance", "user"] = "instance"
    learning_rate: Rate = 1e-3
    second_learning_rate: Rate | None = None
    schedule: Literal["constant", "cosine"] = "constant"
    weight_decay: ScaleOrNone = 1e-6
    teachers: list[str] = field(default_factory=list)
    item_dropout: Share = 0.0
    initial_stddev: Scale | None = None
    max_epochs: Count = 200
    patience: Count = 20
    decline: Count = 10
    precision: Literal["float32", "bfloat16"] = "float32"
    deterministic: bool = True


@dataclass
class EvaluationSettings:
    """How a model is judged.

    Args:
        cutoffs: The N of HR@N, NDCG@N and the like.
        negatives: Items drawn for each user, among those never touched, beside the targets.
        metric: What early stopping watches on the validation split: HR@N, NDCG@N, Recall@N,
            Precision@N, MAP@N or MRR.
        protocol: Among what it ranks there: `sampled`, the negatives, or `full`, the whole
            catalogue.
        titles: A CSV, TSV, Parquet, typed-header or MovieLens `.dat` file of the items, from whose
            categories the diversity and the calibration of lists follow.
        titles_id_column: Its column of the item's id.
        categories_column: Its column of the categories.
    """

    cutoffs: list[Count] = field(default_factory=lambda: [5, 10, 20])
    negatives: Count = 1000
    metric: MetricName = "HR@5"
    protocol: Literal["sampled", "full"] = "sampled"
    titles: str | None = None
    titles_id_column: str = "item_id"
    categories_column: str | None = None


@dataclass
class Settings:
    """Everything that decides what a run computes.

    Args:
        data: Where the log is, how it becomes sequences, and how these are split.
        model: The system and its own settings.
        training: How each of the two phases is trained.
        evaluation: How the model is judged.
        seed: Everything random depends on it.
    """

    data: DataSettings
    model: ModelSettings
    training: TrainingSettings
    evaluation: EvaluationSettings
    seed: Seed = 0


class ConfigFile(ActionConfigFile):
    """The flag of a YAML file of settings, which may be empty, or of a configuration by name."""

    @staticmethod
    def apply_config(parser: ArgumentParser, cfg: Namespace, dest: str, value: str) -> None:
        _apply(parser, cfg, dest, value, skipped=set())


class DataConfigFile(ConfigFile):
    """The same flag where only data and seed are wanted; the other sections are skipped."""

    @staticmethod
    def apply_config(parser: ArgumentParser, cfg: Namespace, dest: str, value: str) -> None:
        skipped = {field.name for field in fields(Settings)} - {"data", "seed"}
        _apply(parser, cfg, dest, value, skipped)


def _apply(
    parser: ArgumentParser, cfg: Namespace, dest: str, value: str, skipped: set[str]
) -> None:
    """Applies a file without what is skipped or empty; raises UserError for unknown sections."""
    path = config_path(value)
    names = [action.dest.split(".") for action in parser._actions]
    known = {first for first, *_ in names}
    sections = {first for first, *rest in names if rest}
    values = {}
    for name, of in read_yaml(path).items():
        if name in skipped or (of is None and name in sections):
            continue
        if name.split(".")[0] not in known:
            raise UserError(
                f"{path} has {name}, which {parser.prog} does not take: leave it out, or give the "
                "file to the command that it is for."
            )
        values[name] = of
    ActionConfigFile.apply_config(parser, cfg, dest, json.dumps(values))
    cfg[dest][-1] = value


def config_path(name: str | Path) -> Path:
    """The YAML file of a configuration.

    Args:
        name: A path, or the name of a configuration that comes with the package, such as `beauty`.

    Raises:
        UserError: If there is neither.
    """
    path = Path(str(name))
    shipped = {file.stem: file for file in sorted(_CONFIGS.glob("*.yaml"))}
    if not path.is_file() and str(name) in shipped:
        return shipped[str(name)]
    if not path.exists() and path.parent == Path() and not path.suffix:
        raise UserError(
            f"There is no configuration {name}: give a YAML file, or one of {', '.join(shipped)}."
        )
    return path


def add_settings(parser: ArgumentParser, system: str, prefix: str = "") -> None:
    """Adds a flag for each setting to a parser.

    Args:
        parser: The parser.
        system: Whose settings `model` has.
        prefix: What the names of the flags begin with, such as `base.`.
    """
    for name, section in _sections(system).items():
        parser.add_class_arguments(section, prefix + name)
    parser.add_argument(
        f"--{prefix}seed", type=Seed, default=0, help="Everything random depends on it."
    )


def settings_parser(arguments: Sequence[str], **kwargs) -> ArgumentParser:
    """A parser with a flag for each setting of the system that the arguments choose.

    It has `--config` and `--print_config` too.

    Args:
        arguments: Those that will be parsed.
        kwargs: What `ArgumentParser` takes.

    Raises:
        UserError: If there is no such system, or it lacks a setting that another one has.
    """
    parser = ArgumentParser(**kwargs)
    parser.add_argument("--config", action=ConfigFile, help="A YAML file of settings.")
    add_settings(parser, _chosen_system(arguments))
    return parser


def settings_of(parsed: Namespace) -> Settings:
    """The settings in what a `settings_parser` parsed."""
    values = plain(parsed)
    sections = _sections(values["model"]["system"])
    settings = Settings(
        **{name: section(**values[name]) for name, section in sections.items()},
        seed=values["seed"],
    )
    _check_effect(settings)
    return settings


def checked(settings: Settings) -> Settings:
    """Settings that were built in Python, checked as flags are.

    Args:
        settings: Their sections are dataclasses of any values.

    Raises:
        UserError: If they are not settings, or a value has the wrong type or is out of range.
    """
    if not isinstance(settings, Settings):
        raise UserError(f"The settings are a {type(settings).__name__}: give a Settings.")
    return settings_from(asdict(settings), "Settings(…)")


def check_fields(settings: Any, skip: Sequence[str] = ()) -> None:
    """Checks settings that are not a run's, and were built in Python, as flags are.

    Args:
        settings: A dataclass whose fields have flags.
        skip: Fields that are checked elsewhere.

    Raises:
        UserError: If a value has the wrong type or is out of range.
    """
    kind = type(settings)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, as_group=False, skip=set(skip))
    values = {name: value for name, value in vars(settings).items() if name not in skip}
    try:
        parser.parse_object(values)
    except (ArgumentError, TypeError, ValueError, KeyError) as error:
        raise UserError(f"{kind.__name__}(…) cannot be used: {_told(error)}.") from None


def _told(error: Exception) -> str:
    """A parser's error as a part of a sentence: some mistakes are told in two sentences."""
    return " ".join(str(error).split()).replace(". ", "; ").rstrip(".")


def _check_effect(settings: Settings) -> None:
    """Refuses what changes nothing with the chosen objective, and an evaluation without figures."""
    default = {field.name: field.default for field in fields(ModelSettings)}
    for name, objectives in _OF_OBJECTIVES.items():
        value, objective = getattr(settings.model, name), settings.model.objective
        if value != default[name] and objective not in objectives:
            raise UserError(
                f"model.{name} is {value}, which changes nothing with the objective {objective}: "
                f"leave it out, or set model.objective to {' or '.join(objectives)}."
            )
    optimizer = settings.training.optimizer
    if optimizer != "adam" and settings.model.objective == "softmax":
        raise UserError(
            f"training.optimizer is {optimizer}, which changes few items a step, but the objective "
            "softmax learns from all: set model.objective to sampled_softmax."
        )
    objective, teachers = settings.model.objective, settings.training.teachers
    if teachers is None:
        raise UserError("training.teachers is null: give a list of run folders, or leave it out.")
    if teachers and (objective != "softmax" or not settings.model.label_smoothing):
        raise UserError(
            "training.teachers names recommenders to learn from, which changes nothing unless "
            "model.objective is softmax and model.label_smoothing, the share that they have in "
            "what is learned, is above 0: set both, or leave the teachers out."
        )
    if not settings.evaluation.cutoffs:
        raise UserError("evaluation.cutoffs is empty: give one or more, such as [5, 10].")
    file, column = settings.evaluation.titles, settings.evaluation.categories_column
    if (file is None) != (column is None):
        raise UserError(
            "evaluation.titles names a file and evaluation.categories_column its column of "
            "categories: set both, or neither."
        )


def plain(parsed: Any) -> Any:
    """Parsed values as plain Python numbers and strings.

    The parser's own number types would not be written as numbers to YAML, and not every library
    takes them. Of a `Namespace` it is the settings alone, without the files that they are from.
    """
    if isinstance(parsed, Namespace):
        parsed = parsed.clone(with_meta=False).as_dict()
    return json.loads(json.dumps(parsed, default=str))


def settings_from(values: dict, source: str) -> Settings:
    """Typed settings from nested values.

    Args:
        values: Nested settings; what is left out has its default.
        source: Where they come from, for error messages.

    Raises:
        UserError: If a field is unknown or its value has the wrong type.
    """
    if not isinstance(values, dict):
        raise UserError(f"{source} cannot be used: it has {values!r} in the place of settings.")
    for name in _sections(DEFAULT_SYSTEM):
        if not isinstance(values.get(name, {}), dict):
            raise UserError(
                f"{source} cannot be used: {name} is {values[name]!r}; give settings by name, or "
                f"leave {name} out."
            )
    model = values.get("model", {})
    system = model.get("system", DEFAULT_SYSTEM)
    _check_system(system, model, f"{source}: ")
    parser = ArgumentParser(exit_on_error=False)
    add_settings(parser, system)
    try:
        return settings_of(parser.parse_object(values))
    except (ArgumentError, TypeError, ValueError, KeyError) as error:
        raise UserError(f"{source} cannot be used: {_told(error)}.") from None


def read_settings(path: Path) -> Settings:
    """The settings in a YAML file.

    Args:
        path: Of the file.

    Raises:
        UserError: If it is missing or damaged.
    """
    return settings_from(read_yaml(path), str(path))


def read_yaml(path: Path) -> dict:
    """What a YAML file of settings holds.

    Args:
        path: Of the file.

    Raises:
        UserError: If it is missing, or is not YAML of named settings.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        _check_depth(text)
        # Plain, for YAML makes of a date that is not quoted no text.
        values = plain(yaml.safe_load(text))
    except FileNotFoundError:
        raise UserError(f"The file {path} does not exist.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): give another file.") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not in UTF-8: save it in that encoding.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path} is damaged: {_told(error)}.") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise UserError(f"{path} is damaged: it holds no settings.")
    return values


def _check_depth(text: str) -> None:
    """Raises ValueError for what is nested so deeply that a parser would overflow its stack."""
    depth = 0
    for token in yaml.scan(text):
        depth += isinstance(token, _BEGINS) - isinstance(token, _ENDS)
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} deep")


def settings_named(system: str, values: dict[str, Any]) -> Settings:
    """Settings from names without their section: no two sections share one.

    Args:
        system: The recommender.
        values: By name, such as `num_interests` or `learning_rate`.

    Raises:
        UserError: If there is no such setting, or its value has the wrong type.
    """
    _check_system(system, {})
    homes = {
        field.name: name for name, section in _sections(system).items() for field in fields(section)
    }
    nested: dict[str, Any] = {"model": {"system": system}}
    for name, value in values.items():
        if name == "seed":
            nested["seed"] = value
            continue
        if name not in homes:
            _check_system(system, {name: value})
            raise no_setting(name, homes)
        nested.setdefault(homes[name], {})[name] = value
    return settings_from(nested, f"Recommender(system={system!r}, …)")


def no_setting(name: str, settings: Iterable[str]) -> UserError:
    """The error of a setting that is none, with the one that may be meant."""
    near = difflib.get_close_matches(name, settings, 1)
    return UserError(
        f"There is no setting {name}" + (f"; did you mean {near[0]}?" if near else ".")
    )


def _sections(system: str) -> dict[str, type]:
    # Systems import Keras, which takes seconds.
    from tfrs_timirec.models.systems import SYSTEMS

    return {
        "data": DataSettings,
        "model": SYSTEMS[system].settings_type,
        "training": TrainingSettings,
        "evaluation": EvaluationSettings,
    }


def _chosen_system(arguments: Sequence[str]) -> str:
    """The system that flags and their configuration files name; the last one counts."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("--config", "--model", "--model.system"):
        parser.add_argument(
            name, dest="named", action="append", default=[], type=lambda v, name=name: (name, v)
        )
    try:
        known, others = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise UserError(f"The {error}.") from None
    model: dict[str, Any] = {}
    for name, value in known.named:
        if name == "--model.system":
            model["system"] = value
        else:
            section = _section(name, value)
            model |= section if isinstance(section, dict) else {}
    for flag, following in zip(others, [*others[1:], ""], strict=False):
        if flag.startswith("--model."):
            name, equals, value = flag.removeprefix("--model.").partition("=")
            model[name] = value if equals else following
    system = model.get("system", DEFAULT_SYSTEM)
    _check_system(system, model)
    return system


def _section(flag: str, value: str) -> object:
    """What `--config` or `--model` says of the model; mistakes are the main parser's to tell."""
    if flag == "--config":
        path = config_path(value)
        section = read_yaml(path).get("model") if path.is_file() else None
        if isinstance(section, str):
            raise UserError(f"{path} has model: {section}: write its settings there.")
        return section
    try:
        section = yaml.safe_load(value)
    except yaml.YAMLError:
        return None
    # A path is a text to YAML, too.
    if isinstance(section, str) and Path(section).is_file():
        return read_yaml(Path(section))
    return section


def _check_system(system: object, model: dict, place: str = "") -> None:
    """Checks that the system exists and has what is set, as far as other systems have it."""
    from tfrs_timirec.models.systems import SYSTEMS, systems_with

    if system not in list(SYSTEMS):
        raise UserError(
            f"{place}model.system is {system!r}, which is not a system: set it to one of "
            f"{', '.join(SYSTEMS)}."
        )
    for name, value in model.items():
        having = systems_with(name)
        if having and system not in having:
            raise UserError(
                f"{place}model.{name} is {value}, but the system {system} has no such setting: "
                f"leave it out, or set model.system to one of {', '.join(having)}."
            )
