"""The model families. TensorFlow is imported by the modules, not by this package."""
