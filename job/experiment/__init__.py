"""What to do, and on what: the experiment file, its tasks, and what is known of its staged data.

Needs no other room.
"""
