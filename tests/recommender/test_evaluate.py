"""What an evaluation finds beside the metrics of the test, and how it is printed."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tfrs_timirec import Recommender
from tfrs_timirec.evaluate import evaluate


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> dict[str, str]:
    """The arguments that name a file of the items' categories; some have two, some none."""
    rows = [f"s-{item},{('tea', 'cups', 'tea|gifts', '')[item % 4]}" for item in range(40)]
    path = tmp_path_factory.mktemp("kinds") / "kinds.csv"
    path.write_text("\n".join(["sku,kind", *rows]) + "\n")
    return {"titles": str(path), "titles_id_column": "sku", "categories_column": "kind"}


def test_categories_add_diversity_and_calibration(model, kinds, eagerly):
    settings = model.settings
    with eagerly():
        found = model.evaluate(**kinds)
    assert model.settings == settings
    for system in ("popularity", "TiMiRec"):
        before = model.metrics["lists"][system]
        lists = dict(found["lists"][system])
        for n in settings.evaluation.cutoffs:
            assert 0 < lists.pop(f"Diversity@{n}") < 1
            assert 0 < lists.pop(f"Miscalibration@{n}") < 4.6
        assert lists == pytest.approx(before)
    assert found["interests"]["TiMiRec"]["interests"] == 2
    # All histories are equally long.
    assert list(found["groups"]) == ["rare targets", "popular targets"]


def test_targets_that_nobody_knows_are_missed(model, frame, eagerly):
    columns = list(frame.columns)
    later = pd.DataFrame([(user, "s-new", 99) for user in frame["customer"].unique()])
    with eagerly():
        found = model.evaluate(pd.concat([frame, later.set_axis(columns, axis=1)]))
    assert found["interests"] == {}
    for of_system in found["test"].values():
        assert all(of[f"HR@{n}"] == 0 for of in of_system.values() for n in (5, 10, 20))


def test_a_training_with_categories_keeps_what_follows_from_them(
    kinds, frame, columns, tiny, eagerly, tmp_path
):
    model = Recommender("popularity", **tiny, **kinds)
    with eagerly():
        model.fit(frame, **columns, run=tmp_path / "run", silent=True)
    kept = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert kept == model.metrics
    assert kept["lists"]["popularity"].keys() > {"Diversity@5", "Miscalibration@20"}
    assert kept["interests"] == {}


def test_categories_that_have_gone_since_the_training_are_not_needed(
    kinds, frame, columns, tiny, eagerly, tmp_path
):
    lost = tmp_path / "lost.csv"
    lost.write_bytes(Path(kinds["titles"]).read_bytes())
    model = Recommender("popularity", **tiny, **{**kinds, "titles": str(lost)})
    with eagerly():
        model.fit(frame, **columns, silent=True)
        assert "Diversity@5" in model.evaluate()["lists"]["popularity"]
        lost.unlink()
        with pytest.warns(UserWarning, match="lost.csv, is gone, so diversity and"):
            found = model.evaluate()
        assert "Diversity@5" not in found["lists"]["popularity"]
        with pytest.warns(UserWarning, match="lost.csv"):
            model.update(frame, silent=True)
        assert "Diversity@5" in model.evaluate(**kinds)["lists"]["popularity"]


def test_the_command_prints_what_there_is_of_each(saved, kinds, eagerly, capsys):
    with eagerly():
        evaluate(saved, **kinds)
    told = capsys.readouterr().out
    metrics = json.loads((saved / "recommender.json").read_text())["metrics"]
    for name, value in metrics["lists"]["TiMiRec"].items():
        if name.endswith("@10"):
            assert f"{name} " in told and f" {value:,.4f} " in told
    assert "Diversity@10" in told and "rare targets" in told
    for name in ("effective number", "calibration error", "HR@10, oracle"):
        assert f"│ {name} " in told
