"""The reference's arrays in the layout of this package; imports neither TensorFlow nor Keras."""

from pathlib import Path

import numpy as np

VARIANTS = ("timirec", "timirec_plus")


def read_golden(variant):
    """All arrays of a variant, by name."""
    with np.load(Path(__file__).parent / f"golden_{variant}.npz") as arrays:
        return dict(arrays)


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
