"""Both sides repaired: `prepare` killed anywhere is mended by the next."""

import time


def test_killed_anywhere(small):
    """`prepare` killed after ever longer, whatever it was writing: the next one completes it, and every promise is kept."""
    for tenths in range(4, 40, 4):
        child = small.start("prepare", "small.toml")
        time.sleep(tenths / 10)
        child.process.kill()
        child.process.wait()
    small.job("prepare", "small.toml", check=0)
    assert (
        "1 trial, 5 fold, 1 final tasks, 0 decided" in small.job("verify", "--deep", check=0).stdout
    )
