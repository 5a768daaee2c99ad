"""WHAT is to be done: the experiment file, checked to its last key, and its tasks. Knows the top of the house only."""
