"""One invocation: find a task, claim it, do it, publish it. Also prepare, replay and repair."""
