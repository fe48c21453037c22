"""A training that learns from trained recommenders beside the targets."""

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
    for model in (student, plain):
        model.update(newer, silent=True)
    assert student.sequences.num_items == 41
    np.testing.assert_array_equal(student.item_vectors(), plain.item_vectors())
    assert student.settings.training.teachers == [str(saved)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"objective": "sampled_softmax"}, "changes nothing unless model.objective is softmax"),
        ({"label_smoothing": 0.0}, "changes nothing unless model.objective is softmax"),
        ({"teachers": ["nowhere"]}, "nowhere is not a saved recommender"),
        ({}, None),  # Not the log that the teacher had.
        ({"history_length": 4}, "reads 3 items of a history, and model.history_length is 4"),
    ],
)
def test_what_cannot_be_learned_from(frame, columns, taught, saved, changes, said):
    settings = {**taught, "teachers": [str(saved)], **changes}
    with pytest.raises(UserError, match=said or "trained on other items"):
        Recommender("sasrec", **settings).fit(
            frame if said else frame[frame["sku"] != "s-3"], **columns, silent=True
        )


def test_a_teacher_that_reads_times(frame, columns, tiny, taught, tmp_path, eager):
    teacher = Recommender("tisasrec", **{**tiny, "max_epochs": 1})
    teacher.fit(frame, **columns, run=tmp_path / "times", silent=True)
    with pytest.raises(UserError, match="times reads times"):
        student = Recommender("sasrec", **taught, teachers=[str(tmp_path / "times")])
        student.fit(frame, **columns, silent=True)
