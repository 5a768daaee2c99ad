"""Draw what a command prints on a terminal as a PNG, such as docs/images/status.png.

    .venv/bin/python docs/terminal.py docs/images/status.png job status --local out

The command runs on a pseudo-terminal of 104 columns, with the commands of this environment first in
PATH. Needs Debian's `chromium`, as `make test-browser` does.
"""

import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROWS = 40
COLUMNS = 104
# Pixels of the picture per unit of the drawing, so that it is sharp on dense screens.
SCALE = 1.5


def run_on_terminal(command: list[str]) -> str:
    """Return what a command prints on a terminal, with its escape sequences."""
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PATH": path}
    process = subprocess.Popen(command, stdout=side, stderr=side, env=environ)
    os.close(side)
    parts = []
    try:
        while part := os.read(main, 65536):
            parts.append(part)
    except OSError:  # on Linux, the end of a terminal that nobody has open any more
        pass
    if process.wait() != 0:
        raise SystemExit(f"{shlex.join(command)} exited with {process.returncode}")
    return b"".join(parts).decode().replace("\r\n", "\n").rstrip("\n")


def draw_svg(text: str, title: str) -> str:
    """Return a window with this text as SVG, in a font of this machine."""
    with open(os.devnull, "w") as nowhere:
        console = Console(width=COLUMNS, record=True, file=nowhere)
        console.print(Text.from_ansi(text))
    svg = console.export_svg(title=title)
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.S)
    return svg.replace("Fira Code", "DejaVu Sans Mono")


def write_png(svg: str, file: Path) -> None:
    """Let Chromium draw the SVG; write its picture."""
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert box, "rich names no size"
    size = ",".join(f"{float(length) * SCALE:.0f}" for length in box.groups())
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        style = "body { margin: 0 } svg { width: 100vw; display: block }"
        page.write_text(f"<meta charset='utf-8'><style>{style}</style>{svg}")
        options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={folder}"]
        options += ["--default-background-color=00000000", f"--window-size={size}"]
        command = ["chromium", *options, f"--screenshot={file.resolve()}", page.as_uri()]
        subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    """Draw the command that the arguments name."""
    file, *command = sys.argv[1:]
    write_png(draw_svg(run_on_terminal(command), shlex.join(command)), Path(file))


if __name__ == "__main__":
    main()
