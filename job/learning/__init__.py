"""Nets, the one training loop and its scores: the only room with TensorFlow. Knows data; no tasks of others."""
