"""Outputs, losses and gradients equal those of an independent PyTorch implementation to 1e-5."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfrs_timirec.config import ModelSettings
from tfrs_timirec.models.losses import bpr_loss, distillation_loss, target_similarity
from tfrs_timirec.models.timirec import TiMiRec

GOLDEN = Path(__file__).parents[1] / "golden"


def gates_to_keras(weight):
    """PyTorch's GRU gates are r, z, n; Keras has z, r, h."""
    r, z, n = np.split(weight, 3)
    return np.concatenate([z, r, n])


def reference_in_keras_layout(golden, kind):
    """The reference's arrays (`weight` or `grad`) under the names and layouts of ours."""

    def of(name):
        return golden[f"{kind}/{name}"]

    items = len(golden["weight/interest_extractor.i_embeddings.weight"])
    extractor, predictor = "interest_extractor", "interest_predictor"
    arrays = {
        "items/embeddings": of(f"{extractor}.i_embeddings.weight"),
        "extractor/inner/kernel": of(f"{extractor}.W1.weight").T,
        "extractor/inner/bias": of(f"{extractor}.W1.bias"),
        "extractor/heads/kernel": of(f"{extractor}.W2.weight").T,
        "extractor/heads/bias": of(f"{extractor}.W2.bias"),
        "predictor_items/embeddings": of(f"{predictor}.i_embeddings.weight")[:items],
        "predictor/gru/gru_cell/kernel": gates_to_keras(of(f"{predictor}.rnn.weight_ih_l0")).T,
        "predictor/gru/gru_cell/recurrent_kernel": gates_to_keras(
            of(f"{predictor}.rnn.weight_hh_l0")
        ).T,
        "predictor/gru/gru_cell/bias": np.stack(
            [
                gates_to_keras(of(f"{predictor}.rnn.bias_ih_l0")),
                gates_to_keras(of(f"{predictor}.rnn.bias_hh_l0")),
            ]
        ),
        "predictor/logits/kernel": of("proj.proj_final.weight").T,
        "predictor/logits/bias": of("proj.proj_final.bias"),
    }
    if "weight/proj.proj_0.weight" in golden:
        arrays["predictor/hidden_0/kernel"] = of("proj.proj_0.weight").T
        arrays["predictor/hidden_0/bias"] = of("proj.proj_0.bias")
    if f"weight/{extractor}.p_embeddings.weight" in golden:
        arrays["extractor/position/table"] = of(f"{extractor}.p_embeddings.weight")
        block = f"{extractor}.transformer"
        for ours, theirs in {
            "query": "masked_attn_head.q_linear",
            "key": "masked_attn_head.k_linear",
            "value": "masked_attn_head.v_linear",
            "inner": "linear1",
            "outer": "linear2",
        }.items():
            arrays[f"extractor/block/{ours}/kernel"] = of(f"{block}.{theirs}.weight").T
            arrays[f"extractor/block/{ours}/bias"] = of(f"{block}.{theirs}.bias")
        for ours, theirs in {"attention_norm": "layer_norm1", "output_norm": "layer_norm2"}.items():
            arrays[f"extractor/block/{ours}/gamma"] = of(f"{block}.{theirs}.weight")
            arrays[f"extractor/block/{ours}/beta"] = of(f"{block}.{theirs}.bias")
    return arrays


@pytest.fixture(params=["timirec", "timirec_plus"])
def golden(request):
    with np.load(GOLDEN / f"golden_{request.param}.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def model(golden):
    weights = reference_in_keras_layout(golden, "weight")
    model = TiMiRec(
        num_items=len(weights["items/embeddings"]) - 1,
        settings=ModelSettings(
            embedding_size=16,
            num_interests=int(golden["meta/num_interests"]),
            history_length=golden["in/history"].shape[1],
            attention_width=8,
            transformer="extractor/position/table" in weights,
            predictor_layers=2 if "predictor/hidden_0/kernel" in weights else 1,
            temperature=float(golden["meta/temperature"]),
        ),
        initial_stddev=0.01,
        seed=0,
    )
    assert {name for name in model.state if "seed" not in name} == set(weights)
    for name, value in weights.items():
        model.state[name].assign(value)
    return model


@pytest.fixture
def batch(golden):
    positive, negative = golden["in/items"].T
    return {"history": golden["in/history"], "positive": positive, "negative": negative}


def equal(ours, reference):
    np.testing.assert_allclose(np.asarray(ours), reference, rtol=1e-5, atol=1e-5)


def test_outputs(model, golden, batch):
    interests = model.pretrained.query_vectors(batch["history"])
    items = model.items(golden["in/items"])
    equal(interests, golden["out/interests"])
    equal(model.interest_logits(batch["history"]), golden["out/predictor_logits"])
    equal(target_similarity(interests, items[:, 0]), golden["out/target_similarity"])
    scores = tf.matmul(model.query_vectors(batch["history"]), items, transpose_b=True)
    equal(scores[:, 0], golden["out/scores"])
    best = tf.reduce_max(tf.matmul(interests, items, transpose_b=True), axis=1)
    equal(best, golden["out/pretrain_eval_scores"])


def test_losses(model, golden, batch):
    interests = model.pretrained.query_vectors(batch["history"])
    positive, negative = model.items(batch["positive"]), model.items(batch["negative"])
    query = model.query_vectors(batch["history"])[:, 0]
    logits = model.interest_logits(batch["history"])
    distillation = distillation_loss(
        target_similarity(interests, positive), logits, model.temperature
    )
    recommendation = bpr_loss(query, positive, negative)
    equal(tf.reduce_mean(recommendation), golden["out/loss_recommendation"])
    equal(tf.reduce_mean(distillation), golden["out/loss_distillation_kl"])
    equal(tf.reduce_mean(model.compute_loss(batch)), golden["out/loss_total"])
    equal(tf.reduce_mean(model.pretrained.compute_loss(batch)), golden["out/pretrain_loss"])


def test_gradients(model, golden, batch):
    gradients = reference_in_keras_layout(golden, "grad")
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model.compute_loss(batch))
    ours = tape.gradient(loss, {name: model.state[name].value for name in gradients})
    for name, reference in gradients.items():
        equal(tf.convert_to_tensor(ours[name]), reference)
