"""Each system has settings of its own; the settings of another one are refused, however given."""

import re
from dataclasses import asdict, fields

import numpy as np
import pytest

from tests.models.variants import VARIANTS, settings_of, system_of
from tfrs_timirec import Recommender
from tfrs_timirec.config import (
    DataSettings,
    EvaluationSettings,
    TrainingSettings,
    read_settings,
    settings_from,
    settings_named,
    settings_parser,
)
from tfrs_timirec.config import settings_of as settings_of_parsed
from tfrs_timirec.errors import UserError
from tfrs_timirec.models.systems import SYSTEMS, systems_with

systems = pytest.mark.parametrize("system", SYSTEMS)


def parsed(arguments):
    return settings_of_parsed(settings_parser(arguments, exit_on_error=False).parse_args(arguments))


def flags(values):
    return [f"--model.{n}={'null' if v is None else v}" for n, v in values.items()]


@systems
def test_a_system_is_named_as_its_settings_say(system):
    settings = SYSTEMS[system].settings_type()
    assert settings.system == system
    assert settings_named(system, {}).model == settings
    assert settings_from({"model": {"system": system}}, "here").model == settings
    assert parsed([f"--model.system={system}"]).model == settings


@systems
def test_no_two_settings_of_a_system_share_a_name(system):
    sections = (DataSettings, SYSTEMS[system].settings_type, TrainingSettings, EvaluationSettings)
    names = [field.name for section in sections for field in fields(section)]
    assert len(set(names)) == len(names)


@systems
def test_each_setting_is_told_in_the_help(system):
    told = settings_parser([f"--model.system={system}"]).format_help().partition("\noptions:")[2]
    for field in fields(SYSTEMS[system].settings_type):
        flag = rf"^  --model\.{field.name} [^\n]*?(?:\n {{10,}}|  +)"
        about = re.search(flag + r"(\w[^(]*)\(", told, re.MULTILINE)
        assert about and len(about[1]) > 10, field.name


REFUSED = [
    ("gru4rec", "transformer", True, "model.transformer is True, but the system gru4rec"),
    ("mind", "dropout", 0.5, "one of comirec, sasrec, tisasrec, sasrec_deep"),
    ("comirec", "temperature", 1.0, "no such setting"),
    ("popularity", "num_interests", 2, "num_interests"),
    ("sasrec", "max_interval", 4, "max_interval"),
    ("timirec", "label_power", 2.0, "one of mind, timirec_mind"),
    ("timirec_mind", "attention_width", 4, "one of comirec, comirec_ligr, comirec_bsarec"),
]


@pytest.mark.parametrize(("system", "name", "value", "said"), REFUSED)
def test_a_setting_that_the_system_does_not_have_is_refused(system, name, value, said, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(f"model:\n  {name}: {value}\n")
    for ask in (
        lambda: settings_from({"model": {"system": system, name: value}}, "here"),
        lambda: settings_named(system, {name: value}),
        lambda: Recommender(system=system, **{name: value}),
        lambda: settings_parser(flags({"system": system, name: value})),
        lambda: settings_parser([f"--model.system={system}", f"--model.{name}", str(value)]),
        lambda: settings_parser([f"--config={config}", f"--model.system={system}"]),
    ):
        with pytest.raises(UserError, match=said) as error:
            ask()
        sentence = str(error.value)
        assert f"model.{name} is {value}, but the system {system} has no such setting" in sentence
        assert sentence.endswith(f"{', '.join(systems_with(name))}.")


@pytest.mark.parametrize("variant", VARIANTS)
def test_settings_that_the_system_has_are_taken(variant):
    expected = settings_of(variant)
    values = asdict(expected)
    assert settings_from({"model": values}, "here").model == expected
    assert parsed(flags(values)).model == expected
    del values["system"]
    assert settings_named(system_of(variant), values).model == expected


UNKNOWN = "which is not a system: set it to one of popularity, youtube_dnn, gru4rec, mind, comirec"


@pytest.mark.parametrize("system", ["caser", "", "TiMiRec", None, 3, ["timirec"]])
def test_an_unknown_system(system):
    for ask in (
        lambda: settings_from({"model": {"system": system}}, "here"),
        lambda: settings_named(system, {}),
        lambda: Recommender(system=system, num_interests=2),
    ):
        with pytest.raises(UserError, match=UNKNOWN) as error:
            ask()
        assert f"model.system is {system!r}, " in str(error.value)


def test_an_unknown_system_in_flags_and_files(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("model:\n  system: caser\n")
    for arguments in (["--model.system=caser"], ["--model.system", "caser"], ["--config", config]):
        with pytest.raises(UserError, match=f"model.system is 'caser', {UNKNOWN}"):
            settings_parser([str(argument) for argument in arguments])


def test_a_section_in_a_file_of_its_own(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("model: model.yaml\n")
    with pytest.raises(UserError, match="config.yaml has model: model.yaml: write its settings"):
        settings_parser(["--config", str(config)])


@pytest.mark.parametrize("flag", ["--model.system", "--config"])
def test_a_flag_without_its_value(flag):
    with pytest.raises(UserError, match=f"{flag}: expected one argument"):
        settings_parser([flag])


def test_the_last_named_system_counts(tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("model:\n  system: mind\n  num_interests: 7\n")
    section = tmp_path / "model.yaml"
    section.write_text("system: timirec\nnum_interests: 7\n")
    file, flag = f"--config={config}", "--model.system=comirec"
    for arguments, system in (
        ([f"--model={section}"], "timirec"),
        ([file, "--model", '{"system": "comirec", "num_interests": 7}'], "comirec"),
        ([f"--model={section}", file], "mind"),
        ([file], "mind"),
        ([file, flag], "comirec"),
        ([flag, file], "mind"),
        ([file, flag, "--model.system", "timirec"], "timirec"),
    ):
        model = parsed(arguments).model
        assert type(model) is SYSTEMS[system].settings_type
        assert (model.system, model.num_interests) == (system, 7)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("num_interest", "num_interests"),
        ("embeding_size", "embedding_size"),
        ("learningrate", "learning_rate"),
        ("cutoff", "cutoffs"),
        ("time_col", "time_column"),
    ],
)
def test_a_name_close_to_a_setting(name, near):
    with pytest.raises(UserError, match=f"^There is no setting {name}; did you mean {near}\\?$"):
        Recommender(**{name: 3})


def test_a_name_close_to_none():
    with pytest.raises(UserError, match=r"^There is no setting zzz\.$"):
        settings_named("timirec", {"zzz": 3})


def test_names_find_their_section():
    settings = settings_named(
        "gru4rec",
        {"core": 1, "embedding_size": 8, "max_epochs": 2, "cutoffs": [3], "seed": 5},
    )
    assert (settings.data.core, settings.model.embedding_size) == (1, 8)
    assert (settings.training.max_epochs, settings.evaluation.cutoffs, settings.seed) == (2, [3], 5)


@pytest.mark.parametrize(
    "values",
    [
        {"num_interests": 0},
        {"temperature": 0},
        {"temperature": -1.0},
        {"predictor_dropout": 1},
        {"seed": -1},
        {"metric": "AUC"},
        {"metric": "HR@0"},
        {"metric": "MRR@5"},
        {"split": "tempral"},
        {"objective": "bce"},
        {"min_rating": "high"},
        {"calibration": 1.5},
    ],
)
def test_a_value_out_of_its_range_is_named(values):
    ((name, _),) = values.items()
    with pytest.raises(UserError, match=rf"Recommender\(system='timirec', …\) .*{name}"):
        settings_named("timirec", values)


@pytest.mark.parametrize("metric", ["HR@5", "NDCG@20", "Recall@10", "Precision@1", "MAP@5", "MRR"])
def test_metrics_to_watch(metric):
    assert settings_named("timirec", {"metric": metric}).evaluation.metric == metric


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model:\n  interests: 3\n", "interests"),
        ("model: 3\n", "model is 3; give settings by name"),
        ("model:\n", "model is None; give settings by name"),
        ("data: [1]\n", r"data is \[1\]; give settings by name"),
        ("sead: 3\n", "sead"),
        ("3\n", "holds no settings"),
        ("model: [\n", "is damaged"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path, text, said):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        read_settings(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("date", ["2024-05-31", "'2024-05-31'", "2024-05-31 12:30:00"])
def test_a_date_in_a_file_needs_no_quotes(tmp_path, date):
    path = tmp_path / "config.yaml"
    path.write_text(f"data:\n  split: temporal\n  validation_from: {date}\n  test_from: 0.75\n")
    data = read_settings(path).data
    assert data.validation_from == date.strip("'")
    assert data.test_from == 0.75


def test_a_file_of_settings_may_have_empty_sections_and_names_with_dots(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("training.learning_rate: 0.5\nmodel:\ndata:\n  core: 3\n")
    arguments = ["--config", str(path)]
    settings = settings_of_parsed(settings_parser(arguments).parse_args(arguments))
    assert settings.training.learning_rate == 0.5 and settings.data.core == 3


def test_numpy_numbers_are_numbers():
    settings = settings_named("timirec", {"num_interests": 3, "learning_rate": np.float64(0.5)})
    assert settings.training.learning_rate == 0.5
