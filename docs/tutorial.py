# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Tutorial: from a DataFrame to explained recommendations
#
# A shop sells coffee, bicycles, records, plants, books and games. Its customers have two or three
# of these interests each, stay with one for a while, and then turn to another. We make such a log,
# train TiMiRec on it, and look at what it recommends and why.
#
# This page is a notebook: it is kept as text in `docs/tutorial.py`, and everything below the code
# was computed when the site was built. `pip install jupytext jupyterlab` and
# `jupytext --to ipynb docs/tutorial.py` make a notebook of it that you can play with.

# %% [markdown]
# ## The log
#
# All that is needed is a table with a row for each interaction: who, what and when. The columns may
# have any names.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import tfrs_timirec as tr

TOPICS = ["coffee", "bicycle", "record", "plant", "book", "game"]
rng = np.random.default_rng(0)


def purchases(customer: int, number: int = 14) -> list[tuple]:
    """What one customer buys: along a topic's shelf, with a change of topic now and then."""
    interests = rng.choice(len(TOPICS), rng.integers(2, 4), replace=False)
    place = dict(zip(interests, rng.integers(25, size=len(interests)), strict=True))
    topic, rows = rng.choice(interests), []
    for day in np.cumsum(rng.integers(1, 5, number)):
        if rng.random() < 0.3:
            topic = rng.choice(interests)
        place[topic] = (place[topic] + rng.integers(1, 3)) % 25
        bought_at = pd.Timestamp("2026-01-01") + pd.Timedelta(days=int(day))
        rows.append((f"c-{customer}", f"{TOPICS[topic]}-{place[topic]}", bought_at))
    return rows


log = pd.DataFrame(
    [row for customer in range(600) for row in purchases(customer)],
    columns=["customer", "sku", "bought_at"],
)
log.head()

# %% [markdown]
# ## Training
#
# Each customer's last purchase is held out to test on, and the one before it to decide when to
# stop.

# %%
model = tr.Recommender(
    system="timirec",
    num_interests=4,
    embedding_size=32,
    history_length=8,
    learning_rate=0.01,
    max_epochs=12,
    patience=3,
    negatives=100,
)
model.fit(log, user="customer", item="sku", time="bought_at", silent=True)

metrics = {name: found["sampled"] for name, found in model.metrics["test"].items()}
pd.DataFrame(metrics).T[["HR@5", "NDCG@5", "MRR"]].round(3)

# %% [markdown]
# `HR@5` is the share of customers whose next purchase is among the five best of 101 candidates:
# the purchase itself and 100 products that they never bought. Popularity knows nobody's taste.
# "phase 1" scores each candidate with the interest that suits it best, as ComiRec does; TiMiRec
# predicts which interest comes next.
#
# ## Recommendations
#
# What a customer has bought is left out. The answer is a DataFrame too, with the names of our
# columns.

# %%
customer = "c-42"
model.recommend(users=[customer], k=5)

# %% [markdown]
# People who are not in the log are asked for by what they had, oldest first; `among` is a list of
# what may be recommended.

# %%
plants = [sku for sku in log["sku"].unique() if sku.startswith("plant")]
model.recommend(histories=[["book-3", "plant-7", "plant-8"]], among=plants, k=3)

# %%
model.similar_items(["coffee-7"], k=5)

# %% [markdown]
# ## Why these
#
# `explain` gives the recommendations with the interest that each comes from, and the purchase that
# has the largest share in this interest.

# %%
why = model.explain(users=[customer], k=5)
why.recommendations

# %% [markdown]
# Each interest is a mixture of the purchases that the model sees, and has a weight: how likely it
# is to drive the next purchase. The picture shows both. A column is an interest; the darker a
# field, the more the purchase adds to it.

# %%
share = why.history.pivot(index="position", columns="interest", values="share").sort_index()
names = why.history.drop_duplicates("position").set_index("position").loc[share.index, "sku"]

figure, (top, below) = plt.subplots(
    2, 1, figsize=(6, 5), sharex=True, height_ratios=[1, 3], layout="constrained"
)
top.bar(why.interests["interest"], why.interests["weight"], color="#3f51b5")
top.set(ylabel="weight", title=f"The interests of {customer}")
below.imshow(share, cmap="Blues", vmin=0, aspect="auto")
below.set_xticks(share.columns, [f"interest {number}" for number in share.columns])
below.set_yticks(range(len(names)), names)
below.set_ylabel("purchases, the newest on top")
plt.show()

# %% [markdown]
# The model has never been told of topics. That it has found them shows in the vectors of the
# products: in the plane in which they differ most, each topic lies together.

# %%
skus = np.array(model.sequences.item_ids.to_pylist())
vectors = model.item_vectors()
vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
centred = vectors - vectors.mean(axis=0)
plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T

figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
for topic in TOPICS:
    chosen = np.char.startswith(skus, topic)
    axes.scatter(*plane[chosen].T, label=topic)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
axes.set(title="Products in the plane of the two largest components", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# ## Keeping it
#
# A saved recommender needs neither the log nor this notebook.

# %%
model.save("my_model")
again = tr.Recommender.load("my_model")
again.recommend(users=[customer], k=5).equals(model.recommend(users=[customer], k=5))

# %% [markdown]
# How it learns from a log that has grown, is trained on everything, and is exported for serving:
# [the recommender as a library](library.md). From the command line, with files instead of a
# DataFrame: [your own log](own_log.md).
