"""What other implementations of the systems of several blocks gave, and their weights as ours.

Random weights and inputs, no dropout; `meta/source` in each file is the repository and the commit
of the authors' code, RecTools' for SASRec and eSASRec. It ran with our epsilon of 1e-5 in the
normalisations that have weights; theirs are between 1e-12 and 1e-5.
"""

import numpy as np

from tests.golden.layout import read_golden

# The authors' names of a block and of what is in it, under ours.
BLOCKS = {
    "sasrec_deep": "transformer_blocks.{}",
    "esasrec": "transformer_blocks.{}",
    "bsarec": "item_encoder.blocks.{}",
    "hstu": "_attention_layers.{}",
}
PARTS = {
    "sasrec_deep": {
        "attention/attention_output": "multi_head_attn.out_proj",
        "attention_norm": "q_layer_norm",
        "inner_norm": "ff_layer_norm",
        "inner": "feed_forward.ff_linear_1",
        "outer": "feed_forward.ff_linear_2",
    },
    "esasrec": {
        "attention/attention_output": "multi_head_attn.out_proj",
        "attention_norm": "layer_norm_1",
        "attention_gate": "gating_linear_1",
        "inner_norm": "layer_norm_2",
        "inner_gate": "gating_linear_2",
        "gate": "feed_forward.ff_linear_1",
        "value": "feed_forward.ff_linear_3",
        "outer": "feed_forward.ff_linear_2",
    },
    "bsarec": {
        "filter_norm": "layer.filter_layer.LayerNorm",
        "attention/query": "layer.attention_layer.query",
        "attention/key": "layer.attention_layer.key",
        "attention/value": "layer.attention_layer.value",
        "attention/attention_output": "layer.attention_layer.dense",
        "attention_norm": "layer.attention_layer.LayerNorm",
        "inner": "feed_forward.dense_1",
        "outer": "feed_forward.dense_2",
        "output_norm": "feed_forward.LayerNorm",
    },
    "hstu": {"outer": "_o"},
}


def read_stacked(system: str) -> tuple[dict, dict]:
    """All arrays of a system's file, and the weights under our names.

    The heads of an attention are in the order of ours, but not in an axis of their own.
    """
    golden = read_golden(system)
    weights = {}
    for number in range(int(golden["meta/blocks"])):
        theirs = f"weight/{BLOCKS[system].format(number)}"
        for part, name in PARTS[system].items():
            weights |= _layer(golden, f"block_{number}/{part}", f"{theirs}.{name}")
        if f"{theirs}.multi_head_attn.in_proj_weight" in golden:
            for kind, name in {"kernel": "in_proj_weight", "bias": "in_proj_bias"}.items():
                parts = np.split(golden[f"{theirs}.multi_head_attn.{name}"], 3)
                for part, values in zip(("query", "key", "value"), parts, strict=True):
                    weights[f"block_{number}/attention/{part}/{kind}"] = values.T
        if system == "bsarec":
            weights[f"block_{number}/beta"] = golden[f"{theirs}.layer.filter_layer.sqrt_beta"]
        if system == "hstu":
            weights[f"block_{number}/inner/kernel"] = golden[f"{theirs}._uvqk"]
            # Theirs begins with the items that are not seen yet.
            longest = golden["in/history"].shape[1]
            bias = golden[f"{theirs}._rel_attn_bias._w"]
            weights[f"block_{number}/bias"] = bias[:longest][::-1]
    if system == "bsarec":
        weights |= _layer(golden, "embeddings", "weight/LayerNorm")
        weights["items/embeddings"] = golden["weight/item_embeddings.weight"]
        # Theirs begins with the oldest item; ours with padding, then with the newest.
        places = golden["weight/position_embeddings.weight"]
        weights["position/table"] = np.concatenate([np.zeros_like(places[:1]), places[::-1]])
    else:
        weights["items/embeddings"] = golden["in/items"]
        weights["position/table"] = golden["in/places"]
    if system == "sasrec_deep":
        weights |= _layer(golden, "states", "weight/last_layernorm")
    return golden, weights


def _layer(golden: dict, ours: str, theirs: str) -> dict:
    """A dense layer's weights, or a normalisation's."""
    weight = golden[f"{theirs}.weight"]
    names = ("kernel", "bias") if weight.ndim == 2 else ("gamma", "beta")
    found = {f"{ours}/{names[0]}": weight.T}
    if f"{theirs}.bias" in golden:
        found[f"{ours}/{names[1]}"] = golden[f"{theirs}.bias"]
    return found
