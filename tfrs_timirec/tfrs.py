"""TensorFlow Recommenders, imported without changing what `tf.keras` is for anybody else.

It is written against Keras 2 and refuses to be imported where `tf.keras` is Keras 3; so `tf.keras`
is Keras 2 while it is imported, and no longer.
"""

import tensorflow as tf
import tf_keras

_before = tf.keras
tf.keras = tf_keras
try:
    import tensorflow_recommenders as tfrs
finally:
    tf.keras = _before

__all__ = ["tfrs"]
