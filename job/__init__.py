"""Tune, cross-validate, train and honestly evaluate image classifiers, one task per invocation."""

__version__ = "0.1.0"
