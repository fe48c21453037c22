"""The layers of the systems in plain NumPy: a user, an item and an equation at a time."""

import numpy as np


def softmax(x):
    x = np.exp(x - x.max())
    return x / x.sum()


def layer_norm(x, gamma, beta):
    return gamma * (x - x.mean()) / np.sqrt(x.var() + 1e-5) + beta


def history_mean(items):
    """[n, D], the real items of one user, oldest first; [D]."""
    return items.sum(axis=0) / len(items)


def newest_item(items):
    return items[-1]


def state_change(states):
    """[n, D], the states of one user after each item; [n]."""
    before = [np.zeros_like(states[0]), *states[:-1]]
    moved = [np.linalg.norm(h - h_before) for h, h_before in zip(states, before, strict=True)]
    return np.array(moved) / sum(moved)


def self_attentive_extractor(items, weights):
    """TiMiRec's eq. 1 for one user: items [n, D]; interests [K, D] and A [n, K]."""
    scores = [_dense(np.tanh(_dense(item, weights, "inner")), weights, "heads") for item in items]
    a = np.array([softmax(of_interest) for of_interest in np.array(scores).T]).T
    return a.T @ items, a


def dynamic_routing(items, bilinear, initial_logits, iterations):
    """MIND's algorithm 1 for one user: items [n, D], logits by distance [L + 1, K].

    Interests [K, D] and the items' shares of them [n, K].
    """
    n, interests = len(items), initial_logits.shape[1]
    b = np.array([initial_logits[n - i] for i in range(n)])
    mapped = [items[i] @ bilinear for i in range(n)]
    for iteration in range(iterations):
        w = [softmax(b[i]) for i in range(n)]
        u = []
        for k in range(interests):
            z = sum(w[i][k] * mapped[i] for i in range(n))
            length = np.sqrt(z @ z)
            u.append(length**2 / (1 + length**2) * z / length)
        if iteration < iterations - 1:
            for i in range(n):
                for k in range(interests):
                    b[i, k] += u[k] @ mapped[i]
    return np.array(u), np.array(w) / np.sum(w, axis=0)


def _dense(x, weights, name):
    return x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]


def _after_attention(x, attended, weights):
    def norm(x, name):
        return layer_norm(x, weights[f"{name}/gamma"], weights[f"{name}/beta"])

    x = norm(x + attended, "attention_norm")
    inner = np.maximum(_dense(x, weights, "inner"), 0)
    return norm(x + _dense(inner, weights, "outer"), "output_norm")


def transformer_block(items, weights):
    """One user's items [n, D]; [n, D] and the attention [n, n]."""
    n, size = items.shape
    outputs, rows = [], []
    for i in range(n):
        query = _dense(items[i], weights, "query")
        scores = [query @ _dense(items[j], weights, "key") / size**0.5 for j in range(n)]
        attention = softmax(np.array(scores))
        attended = sum(attention[j] * _dense(items[j], weights, "value") for j in range(n))
        outputs.append(_after_attention(items[i], attended, weights))
        rows.append(attention)
    return np.array(outputs), np.array(rows)


def time_interval_block(items, times, weights, max_interval):
    """One user's items [n, D] and times [n]; the output [D] and attention [n] of the newest."""
    n, size = items.shape
    gaps = [abs(int(times[i]) - int(times[j])) for i in range(n) for j in range(n)]
    unit = min((gap for gap in gaps if gap > 0), default=1)
    keys, values = [], []
    for j in range(n):
        interval = min((int(times[-1]) - int(times[j])) // unit, max_interval)
        keys.append(
            _dense(items[j], weights, "key")
            + weights["position_keys"][n - j]
            + weights["interval_keys"][interval]
        )
        values.append(
            _dense(items[j], weights, "value")
            + weights["position_values"][n - j]
            + weights["interval_values"][interval]
        )
    query = _dense(items[-1], weights, "query")
    attention = softmax(np.array([query @ keys[j] / size**0.5 for j in range(n)]))
    attended = sum(attention[j] * values[j] for j in range(n))
    return _after_attention(items[-1], attended, weights), attention
