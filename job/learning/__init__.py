"""Models, the one training loop and its scores: the only room that imports TensorFlow."""
