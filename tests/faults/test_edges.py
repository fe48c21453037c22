"""Every number at its edges, straight from the dataclasses; files of settings that are damaged."""

import math
import operator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import yaml
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st

from tests.examples import examples
from tfrs_timirec import Recommender
from tfrs_timirec.comparison.settings import ComparisonSettings, make_plan
from tfrs_timirec.config import (
    DataSettings,
    EvaluationSettings,
    Settings,
    TrainingSettings,
    check_fields,
    checked,
    read_settings,
    settings_from,
    settings_named,
)
from tfrs_timirec.errors import UserError
from tfrs_timirec.export.publish import publish
from tfrs_timirec.export.server.__main__ import run
from tfrs_timirec.export.server.settings import ServerSettings
from tfrs_timirec.export.settings import ExportSettings
from tfrs_timirec.models.systems import SYSTEMS
from tfrs_timirec.ranges import Seed

ROOT = Path(__file__).parents[2]


def numbers() -> list[tuple[str, str, str, type]]:
    """System, section, field and type of each setting that is a number, or a list of them."""
    found = [("timirec", "", "seed", Seed)]
    for system, type_ in SYSTEMS.items():
        sections = {
            "data": DataSettings,
            "model": type_.settings_type,
            "training": TrainingSettings,
            "evaluation": EvaluationSettings,
        }
        for section, dataclass in sections.items():
            if section != "model" and system != "timirec":
                continue
            hints = get_type_hints(dataclass)
            for field in fields(dataclass):
                for kind in [hints[field.name], *get_args(hints[field.name])]:
                    if isinstance(kind, type) and hasattr(kind, "_restrictions"):
                        found.append((system, section, field.name, kind))
    return found


NUMBERS = numbers()
# Of settings that change nothing with others.
OBJECTIVES = {"calibration": "gbce", "label_smoothing": "softmax", "hardness": "sampled_softmax"}
FAR = [10**9 + 1, 2**32, 2**63, 10**30, 1e30, math.inf, -math.inf, math.nan, -1, -1e30]


def nested(system: str, section: str, name: str, value) -> dict:
    values = {"model": {"system": system}}
    if objective := OBJECTIVES.get(name):
        values["model"]["objective"] = objective
    if not section:
        return values | {name: value}
    values.setdefault(section, {})[name] = [value] if name == "cutoffs" else value
    return values


def holds(kind, value) -> bool:
    return all(compare(value, bound) for compare, bound in kind._restrictions)


def test_no_number_is_without_a_range():
    for _, _, name, kind in NUMBERS:
        (at_least, _), (at_most, _) = kind._restrictions
        assert at_least == operator.ge and at_most in (operator.le, operator.lt), name
    named = {name for _, _, name, _ in NUMBERS}
    for dataclass in (
        TrainingSettings,
        EvaluationSettings,
        *(s.settings_type for s in SYSTEMS.values()),
    ):
        for field in fields(dataclass):
            plain = get_type_hints(dataclass)[field.name] in (str, bool, str | None, list[str])
            text = isinstance(field.default, str | bool) or field.name in ("metric", "objective")
            assert plain or text or field.name in named, field.name


def each_number() -> list:
    """One of each range; the others are tried by `make narrow`."""
    seen, found = set(), []
    for system, *setting in NUMBERS:
        marks = [pytest.mark.long] * (setting[-1] in seen)
        found.append(pytest.param(system, *setting, marks=marks))
        seen.add(setting[-1])
    return found


@pytest.mark.parametrize(("system", "section", "name", "kind"), each_number())
def test_the_edges_are_taken_and_what_is_beyond_is_refused(system, section, name, kind):
    bounds = [bound for _, bound in kind._restrictions]
    near = [kind._type(bound) for bound in bounds]
    near += [value + step for value in near for step in (-1, 1)]
    for value in [*near, *FAR]:
        values = nested(system, section, name, value)
        whole = kind._type is float or (math.isfinite(value) and value == int(value))
        if whole and holds(kind, kind._type(value)):
            settings_from(values, "here")
            continue
        with pytest.raises(UserError) as error:
            settings_from(values, "here")
        told = str(error.value)
        assert name in told and "\n" not in told and told.endswith(".")
        assert "not an integer" in told or all(str(bound) in told for bound in bounds), told


@examples(50)
@given(
    st.sampled_from(NUMBERS), st.one_of(st.integers(), st.floats(), st.text(max_size=5), st.none())
)
def test_any_value_is_taken_or_told_in_one_sentence(number, value):
    system, section, name, _ = number
    try:
        settings_from(nested(system, section, name, value), "here")
    except UserError as error:
        assert "\n" not in str(error) and str(error).endswith(".")


def settings_with(section: str, **changes) -> Settings:
    whole = settings_named("timirec", {})
    if not section:
        return replace(whole, **changes)
    return replace(whole, **{section: replace(getattr(whole, section), **changes)})


@pytest.mark.parametrize(
    ("built", "said"),
    [
        (settings_with("training", learning_rate=math.inf), "training.learning_rate"),
        (settings_with("model", num_interests="four"), "model.num_interests"),
        (settings_with("evaluation", cutoffs=[]), "evaluation.cutoffs is empty"),
        (settings_with("", seed=2**32), "seed"),
        (settings_with("", model=None), "model is None"),
        (settings_with("", data=3), "data is 3"),
        (settings_with("model", system="caser"), "is not a system"),
        (settings_with("model", system="gru4rec"), "gru4rec has no such setting"),
        (None, "give a Settings"),
    ],
)
def test_settings_built_in_python_are_checked_like_flags(built, said):
    with pytest.raises(UserError, match=said):
        Recommender.from_settings(built)


OTHERS = [ExportSettings(), ServerSettings(), ComparisonSettings(settings_named("timirec", {}))]


@pytest.mark.parametrize(
    ("settings", "name", "kind"),
    [
        (settings, field.name, kind)
        for settings in OTHERS
        for field in fields(settings)
        for hint in [get_type_hints(type(settings))[field.name]]
        for kind in [hint, *get_args(hint)]
        if hasattr(kind, "_restrictions")
    ],
)
def test_other_settings_are_checked_at_their_edges_too(settings, name, kind):
    (_, least), (_, most) = kind._restrictions
    for value in (kind._type(least), kind._type(most)):
        check_fields(replace(settings, **{name: value}), skip=["base"])
    for value in (least - 1, most + 1, 10**30, math.inf, math.nan, "many"):
        with pytest.raises(UserError, match=rf"{type(settings).__name__}.*{name}"):
            check_fields(replace(settings, **{name: value}), skip=["base"])


def test_what_takes_other_settings_checks_them(tmp_path):
    with pytest.raises(UserError, match=r"ComparisonSettings.*seeds"):
        make_plan(replace(OTHERS[2], seeds=0), "here")
    with pytest.raises(UserError, match="training.max_epochs"):
        make_plan(replace(OTHERS[2], base=settings_with("training", max_epochs=0)), "here")
    with pytest.raises(UserError, match=r"ExportSettings.*k"):
        publish(None, tmp_path, ExportSettings(k=0))
    with pytest.raises(UserError, match=r"ServerSettings.*port"):
        run(tmp_path, ServerSettings(port=70_000))


def test_settings_that_are_right_pass_as_they_are():
    for system in SYSTEMS:
        whole = settings_named(system, {})
        assert checked(whole) == whole == Recommender.from_settings(whole).settings


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"label_smoothing": 0.1}, "label_smoothing is 0.1, which changes nothing .* bpr"),
        ({"label_smoothing": 0.1, "objective": "gbce"}, "label_smoothing .* gbce"),
        ({"calibration": 0.5}, "calibration is 0.5, which changes nothing .* bpr"),
        ({"calibration": 0.5, "objective": "softmax"}, "calibration .* to gbce"),
    ],
)
def test_what_changes_nothing_with_the_objective_is_refused(values, said):
    with pytest.raises(UserError, match=said):
        settings_named("timirec", values)


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"---\n", b"{}\n"])
def test_an_empty_file_is_an_empty_configuration(tmp_path, content):
    (tmp_path / "config.yaml").write_bytes(content)
    assert read_settings(tmp_path / "config.yaml") == settings_named("timirec", {})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[" * 100_000, "nested more than"),
        (b"{a: " * 100_000, "nested more than"),
        (b"- " * 100_000, "nested more than"),
        ("data:\n  source: café\n".encode("latin-1"), "not in UTF-8"),
        ("model: {}\n".encode("utf-16"), "not in UTF-8"),
        (b"a: !!python/object/apply:os.system [ls]", "is damaged"),
        (b"a: !mine 3", "is damaged"),
        (b"a: &a [*a]", "is damaged"),
        (b"a: *b", "is damaged"),
        (b"\0", "is damaged"),
        (b"a: 1\na", "is damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[:9],
)
def test_yaml_that_cannot_be_used(tmp_path, content, said):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as error:
        read_settings(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


WHOLE = yaml.safe_dump(asdict(settings_named("timirec", {}))).encode()


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(WHOLE)), st.binary(max_size=4), st.integers(0, 4))
@example(0, b"\xff", 0)
def test_settings_that_are_damaged_anywhere(tmp_path, place, put, removed):
    path = tmp_path / "settings.yaml"
    path.write_bytes(WHOLE[:place] + put + WHOLE[place + removed :])
    try:
        read_settings(path)
    except UserError as error:
        assert "\n" not in str(error)
