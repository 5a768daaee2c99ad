"""One invocation: find a task, claim it, do it, publish it; and what surrounds that: prepare, replay, repair."""
