import numpy as np

from tfrs_timirec.data.synthetic import generate


def test_shapes_and_types():
    store = generate(0, num_users=50)
    lengths = np.diff(store.offsets)
    assert store.num_users == 50
    assert store.num_items == 2000
    assert lengths.min() >= 10
    assert lengths.max() <= 40
    assert len(store.items) == len(store.times) == len(store.interests) == store.offsets[-1]
    assert store.items.dtype == store.interests.dtype == np.int32
    assert store.offsets.dtype == store.times.dtype == np.int64
    assert 1 <= store.items.min() <= store.items.max() <= 2000
    assert store.user_ids[2].as_py() == "user-3"
    assert store.item_ids[16].as_py() == "item-17"


def test_the_seed_decides():
    first, same, other = generate(1, 20), generate(1, 20), generate(2, 20)
    np.testing.assert_array_equal(first.items, same.items)
    assert not np.array_equal(first.items[:50], other.items[:50])


def test_times_increase():
    store = generate(0, num_users=50)
    for begin, end in zip(store.offsets, store.offsets[1:], strict=False):
        assert (np.diff(store.times[begin:end]) > 0).all()


def test_an_item_has_one_topic_and_a_user_at_most_four():
    store = generate(0, num_users=500)
    topic = {}
    for item, interest in zip(store.items.tolist(), store.interests.tolist(), strict=True):
        assert topic.setdefault(item, interest) == interest
    for begin, end in zip(store.offsets, store.offsets[1:], strict=False):
        assert len(set(store.interests[begin:end])) <= 4


def test_the_last_step_tells_more_of_the_next_interest_than_the_most_frequent():
    store = generate(0)
    last, frequent, followed, switched = 0, 0, 0, 0
    for begin, end in zip(store.offsets, store.offsets[1:], strict=False):
        *past, target = store.interests[begin:end].tolist()
        last += past[-1] == target
        frequent += max(sorted(set(past)), key=past.count) == target
        topics = sorted(set(past))
        if target != past[-1] and target in topics and len(topics) == 4:
            switched += 1
            followed += topics[(topics.index(past[-1]) + 1) % 4] == target
    assert 0.77 < last / store.num_users < 0.83
    assert frequent / store.num_users < 0.55
    assert followed / switched > 0.8
