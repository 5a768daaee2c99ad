"""What to do: the experiment file, checked to its last key, and its tasks. Needs no other room."""
