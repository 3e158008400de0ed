# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one of our programs with the tools of .build/venv: in_env.py PROGRAM [ARGUMENT...]"""

from __future__ import annotations

import os
import sys

from common import ROOT, ToolError, environment, main, venv_bin


def work() -> int:
    """Become the program."""
    if len(sys.argv) < 2:
        raise ToolError("usage: in_env.py PROGRAM [ARGUMENT...]")
    if not os.path.exists(sys.argv[1]):
        raise ToolError(f"{sys.argv[1]} does not exist")
    os.chdir(ROOT)
    python = str(venv_bin() / "python")
    os.execve(python, [python, *sys.argv[1:]], environment())


if __name__ == "__main__":
    main(work)
