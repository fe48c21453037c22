"""Outputs, losses and gradients equal those of an independent PyTorch implementation to 1e-5."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.golden.layout import VARIANTS, read_golden, reference_in_keras_layout
from tfrs_timirec.models.losses import bpr_loss, distillation_loss, target_similarity
from tfrs_timirec.models.timirec import TiMiRec, TiMiRecSettings


@pytest.fixture(params=VARIANTS)
def golden(request):
    return read_golden(request.param)


@pytest.fixture
def model(golden):
    weights = reference_in_keras_layout(golden, "weight")
    model = TiMiRec.create(
        num_items=len(weights["items/embeddings"]) - 1,
        settings=TiMiRecSettings(
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


@pytest.fixture
def logits(model, batch):
    predictor = model.user_tower.get_layer("predictor")
    return keras.Model(model.user_tower.input, predictor.output)({"history": batch["history"]})


def equal(ours, reference):
    np.testing.assert_allclose(np.asarray(ours), reference, rtol=1e-5, atol=1e-5)


def test_outputs(model, golden, batch, logits):
    interests = model.pretrained.query_vectors(batch)
    items = model.items(golden["in/items"])
    equal(interests, golden["out/interests"])
    equal(logits, golden["out/predictor_logits"])
    equal(target_similarity(interests, items[:, 0]), golden["out/target_similarity"])
    scores = tf.matmul(model.query_vectors(batch), items, transpose_b=True)
    equal(scores[:, 0], golden["out/scores"])
    best = tf.reduce_max(tf.matmul(interests, items, transpose_b=True), axis=1)
    equal(best, golden["out/pretrain_eval_scores"])
    given = model.represent(batch)
    equal(given["interests"], golden["out/interests"])
    equal(given["interest_weights"], tf.nn.softmax(golden["out/predictor_logits"]))


def test_losses(model, golden, batch, logits):
    interests = model.pretrained.query_vectors(batch)
    positive, negative = model.items(batch["positive"]), model.items(batch["negative"])
    query = model.query_vectors(batch)[:, 0]
    distillation = distillation_loss(
        target_similarity(interests, positive), logits, model.settings.temperature
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
