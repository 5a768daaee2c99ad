"""A `prepare` that is killed anywhere is repaired by the next one."""

import time


def test_killed_anywhere(unprepared):
    """The next `prepare` completes whatever a killed one was writing, and `verify` is content."""
    whole_s = time_prepare(unprepared, (unprepared.folder / "small.toml").read_text())
    for tenth in range(1, 10):
        child = unprepared.start("prepare", "small.toml")
        time.sleep(whole_s * tenth / 10)
        child.process.kill()
        child.process.wait()
    unprepared.job("prepare", "small.toml", check=0)
    done = unprepared.job("verify", "--deep", check=0)
    assert "1 trial, 5 fold, 1 final tasks, 0 decided" in done.stdout


def time_prepare(site, text: str) -> float:
    """Return the seconds that the `prepare` of another experiment takes."""
    (site.folder / "other.toml").write_text(text.replace('"small"', '"other"'))
    site.job("--version", check=0)  # starts what later commands are forked from
    began = time.monotonic()
    site.job("prepare", "other.toml", check=0)
    seconds = time.monotonic() - began
    site.job("drop", "other", check=0)
    return seconds
