"""Imported last, this takes what was imported before it out of Python's garbage collection.

TensorFlow alone is a million objects. A full collection of them takes 0.2 s, and in a forked child
it copies their pages.
"""

import gc

gc.collect()
gc.freeze()
