"""A `prepare` that is killed anywhere is repaired by the next one."""

import time


def test_killed_anywhere(small):
    """Whatever `prepare` was writing when it was killed, the next one completes it, and all verifies."""
    for tenths in range(4, 40, 4):
        child = small.start("prepare", "small.toml")
        time.sleep(tenths / 10)
        child.process.kill()
        child.process.wait()
    small.job("prepare", "small.toml", check=0)
    done = small.job("verify", "--deep", check=0)
    assert "1 trial, 5 fold, 1 final tasks, 0 decided" in done.stdout
