# SPDX-License-Identifier: GPL-3.0-or-later
"""Be process 1 of the test host: run a program, and wait for all orphans, whose ids a restore may need."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Return the exit status of the program."""
    pid = os.fork()
    if pid == 0:
        os.execvp(sys.executable, [sys.executable, *sys.argv[1:]])
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status) & 0xFF


if __name__ == "__main__":
    sys.exit(main())
