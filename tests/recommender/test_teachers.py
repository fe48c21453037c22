"""A training that learns from trained recommenders beside the targets."""

import shutil

import numpy as np
import pytest

from tfrs_timirec import Recommender, UserError


@pytest.fixture(scope="module")
def taught(tiny):
    """Settings by which little but what the teachers say is learned."""
    return {
        **tiny,
        "objective": "softmax",
        "label_smoothing": 0.9,
        "learning_rate": 0.01,
        "max_epochs": 12,
    }


def shared(model, teacher) -> float:
    """The mean share of the teacher's lists that is in the model's."""
    users = model.sequences.user_ids.to_pylist()
    tables = [
        of.recommend(users, k=5).groupby("customer")["sku"].agg(set) for of in (model, teacher)
    ]
    return np.mean([len(a & b) / 5 for a, b in zip(*tables, strict=True)])


def test_a_student_of_one_vector_ranks_as_its_teacher_of_two(
    frame, columns, taught, tmp_path, eager
):
    teacher = Recommender("comirec", num_interests=2, **{**taught, "label_smoothing": 0.0})
    teacher.fit(frame, **columns, run=tmp_path / "teacher", silent=True)
    settings = {**taught, "seed": 4}
    alone = Recommender("sasrec", **settings).fit(frame, **columns, silent=True)
    settings["teachers"] = [str(tmp_path / "teacher")]
    student = Recommender("sasrec", **settings).fit(
        frame, **columns, run=tmp_path / "student", silent=True
    )
    assert shared(student, teacher) > shared(alone, teacher) + 0.05
    # Once trained, it needs its teacher no more, unless it is to learn everything again.
    (tmp_path / "teacher").rename(tmp_path / "gone")
    loaded = Recommender.load(tmp_path / "student")
    assert loaded.settings.training.teachers == settings["teachers"]
    assert shared(loaded, student) == 1
    with pytest.raises(UserError, match="teacher is not a saved recommender"):
        loaded.refit(silent=True)


def test_both_phases_and_targets_by_user_learn_from_teachers(
    frame, columns, taught, saved, tmp_path, eager
):
    settings = {**taught, "max_epochs": 1, "num_interests": 2, "unit": "user"}
    losses = []
    for teachers in ([], [str(saved)], [str(saved)] * 2):
        rows = []
        model = Recommender("timirec", **settings, teachers=teachers)
        model.fit(frame, **columns, silent=True, callback=rows.append)
        losses.append([row["loss"] for row in rows])
    assert len(losses[0]) == 2
    assert all(a != b for a, b in zip(losses[0], losses[1], strict=True))
    # The mean of twice the same.
    np.testing.assert_allclose(losses[1], losses[2], rtol=1e-5)


def test_an_update_learns_from_targets_alone(frame, newer, columns, taught, saved, eager):
    settings = {**taught, "max_epochs": 1}
    student = Recommender("sasrec", **settings, teachers=[str(saved)])
    student.fit(frame, **columns, silent=True)
    plain = Recommender("sasrec", **{**settings, "label_smoothing": 0.0})
    plain.fit(frame, **columns, silent=True)
    plain.system.user_tower.set_weights(student.system.user_tower.get_weights())
    for learn in ("update", "refit"):
        for model in (student, plain):
            getattr(model, learn)(*[newer] * (learn == "update"), silent=True)
        assert student.sequences.num_items == 41
        np.testing.assert_array_equal(student.item_vectors(), plain.item_vectors())
    assert student.settings == plain.settings


def refused(frame, columns, settings) -> str:
    with pytest.raises(UserError) as error:
        Recommender("sasrec", **settings).fit(frame, **columns, silent=True)
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective": "sampled_softmax"}, "changes nothing unless model.objective is softmax"),
        ({"label_smoothing": 0.0}, "changes nothing unless model.objective is softmax"),
        ({"teachers": ["nowhere"]}, "nowhere cannot be used: nowhere is not a saved recommender"),
        ({"teachers": [""]}, "cannot be used: . is not a saved recommender"),
        ({"teachers": None}, "training.teachers is null"),
        ({"history_length": 4}, "reads 3 items of a history, and model.history_length is 4"),
        ({"split": "temporal"}, "may have learned from what is held out here"),
    ],
)
def test_what_cannot_be_learned_from(frame, columns, taught, saved, changes, said):
    assert said in refused(frame, columns, {**taught, "teachers": [str(saved)], **changes})


def test_a_teacher_of_another_log(frame, columns, taught, saved):
    settings = {**taught, "teachers": [str(saved)]}
    less, other = frame[frame["sku"] != "s-3"], frame.assign(sku=frame["sku"].to_numpy()[::-1])
    for log in (less, other):
        assert "was trained on another log" in refused(log, columns, settings)


@pytest.mark.parametrize(
    ("system", "said"), [("tisasrec", "reads times"), ("popularity", "are no probabilities")]
)
def test_who_cannot_teach(frame, columns, tiny, taught, tmp_path, eager, system, said):
    teacher = Recommender(system, **{**tiny, "max_epochs": 1})
    teacher.fit(frame, **columns, run=tmp_path / "run", silent=True)
    assert said in refused(frame, columns, {**taught, "teachers": [str(tmp_path / "run")]})


def test_a_run_goes_on_with_the_teacher_that_it_began_with(
    frame, columns, taught, saved, tmp_path, eager
):
    shutil.copytree(saved, tmp_path / "teacher")
    settings = {**taught, "teachers": [str(tmp_path / "teacher")]}

    def fit(epochs: int) -> Recommender:
        model = Recommender("sasrec", **{**settings, "max_epochs": epochs})
        return model.fit(frame, **columns, run=tmp_path / "run", silent=True)

    fit(1)
    at_once = Recommender("sasrec", **{**settings, "max_epochs": 2})
    at_once.fit(frame, **columns, silent=True)
    np.testing.assert_array_equal(fit(2).item_vectors(), at_once.item_vectors())
    Recommender("sasrec", **{**taught, "max_epochs": 1}).fit(frame, **columns, silent=True).save(
        tmp_path / "teacher"
    )
    with pytest.raises(UserError, match="A teacher has changed since the run"):
        fit(3)
