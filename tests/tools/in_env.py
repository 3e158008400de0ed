# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a program of this project with the tools of .build/venv: in_env.py PROGRAM [ARGUMENT...]"""

from __future__ import annotations

import os
import sys

from common import ROOT, ToolError, environment, main, venv_bin


def work() -> int:
    """Replace this process with the program."""
    if len(sys.argv) < 2:
        raise ToolError("usage: in_env.py PROGRAM [ARGUMENT...]")
    if not os.path.exists(sys.argv[1]):
        raise ToolError(f"Cannot run {sys.argv[1]!r}: the file does not exist. Check the path.")
    os.chdir(ROOT)
    python = str(venv_bin() / "python")
    os.execve(python, [python, *sys.argv[1:]], environment())


if __name__ == "__main__":
    main(work)
