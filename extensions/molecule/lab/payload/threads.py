# SPDX-License-Identifier: GPL-3.0-or-later
"""Count in several threads, so that a checkpoint that loses a thread, its counter or the lock is detected at once.

Usage: threads.py [--threads N] [--interval SECONDS] [--folder DIR] [--lock PATH]
"""

import fcntl
import os
import sys
import threading
import time


def option(name, default):
    """Return the value that follows an option."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def count(number, folder, interval):
    """Count without end; the file stays open, so its descriptor must survive a checkpoint as well."""
    with open(os.path.join(folder, "thread-%d" % number), "w") as out:
        value = 0
        while True:
            value += 1
            out.seek(0)
            out.write("%d %d %d\n" % (number, threading.get_native_id(), value))
            out.flush()
            sys.stdout.write("thread %d count %d\n" % (number, value))
            sys.stdout.flush()
            time.sleep(interval)


def take_lock(path):
    """Take a POSIX lock on a file and keep it."""
    handle = open(path, "a+")
    fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    sys.stdout.write("lock %s taken by %d\n" % (path, os.getpid()))
    sys.stdout.flush()
    return handle


def main():
    """Start the threads and count in the main thread."""
    folder = option("--folder", "/app/state")
    interval = float(option("--interval", "0.5"))
    os.makedirs(folder, exist_ok=True)
    path = option("--lock", os.environ.get("LOCK_PATH", ""))
    held = take_lock(path) if path else None
    for number in range(1, int(option("--threads", "4"))):
        threading.Thread(target=count, args=(number, folder, interval), daemon=True).start()
    count(0, folder, interval)
    return held


if __name__ == "__main__":
    main()
