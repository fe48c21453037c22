"""Typed settings of a comparison: each field is a command-line flag and a YAML key."""

from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Literal

import pyarrow as pa

from tfrs_timirec.config import Settings, check_fields, checked, settings_from
from tfrs_timirec.errors import UserError
from tfrs_timirec.ranges import Count, Few


@dataclass
class ComparisonSettings:
    """What is compared, and how it is reported.

    Args:
        base: What all trainings share; a system takes of its model settings those that it has.
        systems: Name → what differs from `base`, nested as there: those of the report's tables.
        ablations: The same for the table of ablations.
        references: Names of the systems that the others are tested against; the first one is that
            of the pictures and of the case study.
        sensitivity: Name of a system → setting, as `model.num_interests` → its values.
        seeds: How many: 0, 1 and so on.
        paper: The data set whose figures in the paper are put beside.
        titles: A file of the items' titles for the case study.
        titles_id_column: Its column of the item's id.
        titles_column: Its column of the title.
        case_user: The user of the case study; null takes one whom the predictor helps.
        runs: The folder of the run folders.
        out: The folder of the report.
        jobs: How many trainings run at a time.
    """

    base: Settings
    systems: dict[str, dict] = field(default_factory=dict)
    ablations: dict[str, dict] = field(default_factory=dict)
    references: list[str] = field(default_factory=list)
    sensitivity: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    seeds: Count = 3
    paper: Literal["Beauty", "MovieLens-1M"] | None = None
    titles: str | None = None
    titles_id_column: str = "item_id"
    titles_column: str = "title"
    case_user: str | None = None
    runs: str = "runs/compared"
    out: str = "report"
    jobs: Few = 2


def read_titles(settings: ComparisonSettings, item_ids: pa.Array) -> list[str] | None:
    """The items' titles for the case study, "" where there is none; None without a file of them.

    Args:
        settings: Of the comparison.
        item_ids: The catalogue's ids, index 1 first.

    Raises:
        UserError: If the file cannot be read or lacks a column.
    """
    # It imports DuckDB, which takes half a second.
    from tfrs_timirec.data.metadata import read_metadata

    return read_metadata(settings, settings.titles_column, item_ids)


@dataclass(frozen=True)
class Entry:
    """A training of a comparison.

    Args:
        name: The system's in the report.
        seed: Of the training.
        settings: Of the training.
        folder: The run folder.
    """

    name: str
    seed: int
    settings: Settings
    folder: Path

    @property
    def done(self) -> bool:
        """Whether it was trained and evaluated."""
        return (self.folder / "metrics.json").exists()


@dataclass(frozen=True)
class Plan:
    """All trainings of a comparison.

    Args:
        systems: Those of the main table.
        ablations: Those of the table of ablations.
        sensitivity: Setting → those of the picture, in the order of the setting's values.
    """

    systems: list[Entry]
    ablations: list[Entry]
    sensitivity: dict[str, list[Entry]]

    @property
    def entries(self) -> list[Entry]:
        """All of them, each run folder once."""
        groups = [self.systems, self.ablations, *self.sensitivity.values()]
        return list({entry.folder: entry for group in groups for entry in group}.values())


def make_plan(settings: ComparisonSettings, source: str) -> Plan:
    """What a comparison trains.

    Args:
        settings: Of the comparison.
        source: Where they come from, for the errors.

    Raises:
        UserError: If a field is out of its range, there is no system, a reference is not a system,
            a case is asked for without a predictor, a name cannot be a folder's, a system's
            settings are wrong, name data of its own or leave nothing to compare by, or two
            trainings would be one run.
    """
    check_fields(settings, skip=["base"])
    checked(settings.base)
    if not settings.systems:
        raise UserError(f"{source} names no systems: give some under systems.")
    if not settings.references:
        raise UserError(f"{source} names no references: give one of its systems or more.")
    for place, name in enumerate(settings.references):
        if name in settings.references[:place]:
            raise UserError(f"{source} names the reference {name!r} twice: leave one out.")
        if name not in settings.systems:
            raise UserError(
                f"{source}: the reference {name!r} is not one of the systems "
                f"{', '.join(settings.systems)}."
            )

    def entries(name: str, changes: dict) -> list[Entry]:
        is_name = isinstance(name, str) and name.strip() and name.isprintable()
        if not is_name or "/" in name or len(name.encode()) > 200:
            raise UserError(
                f"{source}: {name!r} names a folder: give a name of printable letters, without a "
                "slash, of at most 200 bytes."
            )
        if "seed" in changes:
            raise UserError(f"{source}, {name}: seed is the comparison's to give; leave it out.")
        values = _merged(_base_for(settings.base, changes), changes)
        typed = settings_from(values, f"{source}, {name}")
        if typed.data.split == "none":
            raise UserError(
                f"{source}, {name}: data.split is none, which leaves nothing to compare by; choose "
                "another one."
            )
        # A sensitivity may be one to the data.
        is_system = name in {**settings.systems, **settings.ablations}
        for section in ("data", "evaluation") if is_system else ("evaluation",):
            if getattr(typed, section) != getattr(settings.base, section):
                raise UserError(
                    f"{source}, {name}: its {section} differs from the others', so that nothing "
                    "can be compared; leave it out, or set it under base."
                )
        return [
            Entry(name, seed, replace(typed, seed=seed), Path(settings.runs, f"{name}-{seed}"))
            for seed in range(settings.seeds)
        ]

    def group(named: dict[str, dict]) -> list[Entry]:
        return [entry for name, changes in named.items() for entry in entries(name, changes)]

    systems = group(settings.systems)
    if settings.case_user is not None:
        # Systems import Keras, which takes seconds.
        from tfrs_timirec.models.distillation import Distilled
        from tfrs_timirec.models.systems import SYSTEMS

        reference = next(entry for entry in systems if entry.name == settings.references[0])
        if not issubclass(SYSTEMS[reference.settings.model.system], Distilled):
            raise UserError(
                f"{source}: case_user is {settings.case_user!r}, but the first reference, "
                f"{reference.name!r}, predicts no interests to study: leave case_user out, or name "
                "another reference first."
            )
    sensitivity = {}
    for system, varied in settings.sensitivity.items():
        if system not in settings.systems:
            raise UserError(f"{source}: the sensitivity of {system!r}, which is not a system.")
        for setting, values in varied.items():
            section, _, key = setting.partition(".")
            if not key or not isinstance(asdict(settings.base).get(section), dict):
                raise UserError(
                    f"{source}: the sensitivity to {setting!r}: name a setting with its section, "
                    "such as model.num_interests."
                )
            if not values:
                raise UserError(f"{source}: the sensitivity to {setting} needs a value or more.")
            if setting in sensitivity:
                raise UserError(
                    f"{source}: the sensitivity of two systems to {setting}: leave one out."
                )
            # A value that a system has anyway is not trained twice.
            whole = dict.fromkeys(int(v) if float(v).is_integer() else v for v in values)
            sensitivity[setting] = [
                next((same for same in systems if same.settings == entry.settings), entry)
                for value in whole
                for entry in entries(
                    f"{system} {key}={value}",
                    _merged(settings.systems[system], {section: {key: value}}),
                )
            ]
    plan = Plan(systems, group(settings.ablations), sensitivity)
    trained = plan.entries
    for entry in [*plan.systems, *plan.ablations]:
        if entry not in trained:
            raise UserError(
                f"{source}: {entry.name!r} stands for two trainings that differ: give one of them "
                "another name."
            )
    return plan


def _base_for(base: Settings, changes: dict) -> dict:
    """The shared settings without those that the system of the changes does not have."""
    # Systems import Keras, which takes seconds.
    from tfrs_timirec.models.systems import SYSTEMS

    values = asdict(base)
    model = changes.get("model")
    system = (model if isinstance(model, dict) else {}).get("system", base.model.system)
    if isinstance(system, str) and system in SYSTEMS:
        own = {field.name for field in fields(SYSTEMS[system].settings_type)}
        values["model"] = {name: value for name, value in values["model"].items() if name in own}
        values["model"]["system"] = system
    return values


def _merged(values: dict, changes: dict) -> dict:
    """The nested values with the nested changes."""
    merged = dict(values)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            merged[key] = _merged(values[key], value)
        else:
            merged[key] = value
    return merged
