"""Systems of several blocks, and REMI's losses, equal their authors' code to 1e-5."""

import keras
import numpy as np
import pytest

from tests.golden.layout import read_golden
from tests.golden.stacked import BLOCKS, read_stacked
from tfrs_timirec.models.losses import routing_variance, sampled_softmax_loss
from tfrs_timirec.models.systems import SYSTEMS


def equal(ours, reference):
    np.testing.assert_allclose(np.asarray(ours), reference, rtol=1e-5, atol=1e-5)


def tower_and_golden(system):
    """The tower with the reference's weights, and the reference's arrays."""
    golden, weights = read_stacked(system)
    items, width = weights["items/embeddings"].shape
    of_filter = {}
    if system == "bsarec":
        of_filter["filter_share"] = float(golden["meta/alpha"])
        of_filter["lowest_frequencies"] = int(golden["meta/c"]) // 2
    settings = SYSTEMS[system].settings_type(
        embedding_size=width,
        history_length=golden["in/history"].shape[1],
        blocks=int(golden["meta/blocks"]),
        heads=int(golden["meta/heads"]),
        **of_filter,
    )
    model = SYSTEMS[system].create(items - 1, settings, initial_stddev=0.1, seed=0)
    names = {name for name in model.state if not name.startswith("seed")}
    # RecTools and HSTU's authors leave out what we normalise at the end.
    assert names - set(weights) <= {"states/gamma", "states/beta"}
    for name, value in weights.items():
        variable = model.state[name]
        variable.assign(value.reshape(variable.shape))
    return model.user_tower, golden


def outputs(tower, history):
    """What layers of the tower give for a history, by name; of a block, not its attention."""
    names = [layer.name for layer in tower.layers if layer.name.startswith(("block_", "states"))]
    given = {name: keras.tree.flatten(tower.get_layer(name).output)[0] for name in names}
    return keras.Model(tower.input, given)({"history": history})


@pytest.mark.parametrize("system", BLOCKS)
def test_each_block_gives_what_the_reference_gives(system):
    tower, golden = tower_and_golden(system)
    history = golden["in/history"]
    real = history > 0
    assert not real.all() and real[:, 0].all()
    given = outputs(tower, history)
    for name in ("block_0", "block_1"):
        expected = golden[f"out/{name}"]
        assert np.ptp(expected[real]) > 1
        equal(given[name][real], expected[real])
        assert not np.asarray(given[name])[~real].any()


def test_sasrec_normalises_what_the_last_block_gives():
    tower, golden = tower_and_golden("sasrec_deep")
    real = golden["in/history"] > 0
    states = outputs(tower, golden["in/history"])["states"]
    equal(states[real], golden["out/states"][real])


def test_a_full_history_of_bsarec():
    """Of the authors' whole model; their padding has vectors of its own."""
    tower, golden = tower_and_golden("bsarec")
    equal(outputs(tower, golden["in/full"])["block_1"], golden["out/full"])
    query = tower({"history": golden["in/full"]})["query_vectors"]
    equal(query[:, 0], golden["out/full"][:, -1])


@pytest.mark.parametrize("hardness", [0.0, 0.5, 10.0])
def test_remi_counts_hard_negatives_more(hardness):
    golden = read_golden("remi")
    score, scores = golden["in/score"], golden["in/scores"]
    loss = sampled_softmax_loss(score, scores, np.ones(scores.shape, bool), hardness=hardness)
    equal(loss, golden[f"out/loss_{hardness}"])


def test_remi_penalises_attention_to_few_items():
    golden = read_golden("remi")
    attention = golden["out/attention"].transpose(0, 2, 1)
    _, width, interests = attention.shape
    items = (attention > 0).any(axis=2).sum(axis=1)
    assert np.ptp(items) > 0
    assert np.ptp(routing_variance(attention)) > 0.1
    of_each = [routing_variance(attention[:, :, [k]]) for k in range(interests)]
    equal(routing_variance(attention), np.sum(of_each, axis=0))
    # The authors' mean share is that of the padding, too: 1 / width in place of 1 / items.
    theirs = (np.sqrt(of_each) + 1 / items - 1 / width) ** 2
    equal(theirs.sum() / golden["out/interests"].shape[2] ** 2, golden["out/penalty"])


def test_padding_is_no_item_that_an_interest_could_leave_out():
    attention = read_golden("remi")["out/attention"].transpose(0, 2, 1)
    wider = np.pad(attention, [(0, 0), (3, 2), (0, 0)])
    equal(routing_variance(wider), routing_variance(attention))
    alike = np.pad(np.full((2, 2, 3), 0.5, np.float32), [(0, 0), (0, 18), (0, 0)])
    equal(routing_variance(alike), np.zeros(2))
