"""A `prepare` that is killed anywhere is repaired by the next one."""

import time


def test_killed_anywhere(unprepared):
    """The next `prepare` completes whatever a killed one was writing, and `verify` is content."""
    for tenths in range(4, 40, 4):
        child = unprepared.start("prepare", "small.toml")
        time.sleep(tenths / 10)
        child.process.kill()
        child.process.wait()
    unprepared.job("prepare", "small.toml", check=0)
    done = unprepared.job("verify", "--deep", check=0)
    assert "1 trial, 5 fold, 1 final tasks, 0 decided" in done.stdout
