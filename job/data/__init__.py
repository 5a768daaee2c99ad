"""Turn a user's images into staged arrays and splits.

Knows experiments, the store and the registered experiments; knows no models.
"""
