"""The families of models. Its modules import TensorFlow; the package itself does not."""
