# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the multi-threaded program of the self-test, or packs the image that it runs in.

    self_test.py pack TAR     write a root file system with this program and the host's own Python to TAR
    self_test.py run          count in four threads until stopped; print the counters five times a second

No registry is needed: the image contains the interpreter, the shared libraries that it has mapped and the modules that
it has imported, each at its path on the host. The nonce exists in memory only: a restored program still has it, a
restarted program has a different nonce.
"""

import glob
import json
import os
import sys
import threading
import time

THREADS = 4
PROGRAM = "/self_test.py"


def count(counters, number):
    while True:
        counters[number] += 1
        time.sleep(0.02)


def run():
    nonce = os.urandom(8).hex()
    counters = [0] * THREADS
    for number in range(THREADS):
        threading.Thread(target=count, args=(counters, number), daemon=True).start()
    while True:
        print(json.dumps({"nonce": nonce, "counters": counters}), flush=True)
        time.sleep(0.2)


def files_in_use():
    """Returns the paths of the interpreter, its mapped libraries and its imported modules, with links to them."""
    paths = {sys.executable}
    with open("/proc/self/maps", encoding="utf-8") as maps:
        mapped = {line.split(None, 5)[5].strip() for line in maps if len(line.split(None, 5)) == 6 and "/" in line}
    for library in mapped:
        # The loader opens the soname, which is often a link to the mapped file.
        beside = glob.glob(glob.escape(os.path.dirname(library)) + "/*")
        paths |= {path for path in beside if os.path.realpath(path) == library}
    paths |= set(glob.glob("/lib*/ld-*.so*"))
    for module in list(sys.modules.values()):
        paths.add(os.path.abspath(getattr(module, "__file__", None) or sys.executable))
    # An interpreter imports its encodings by name when it starts.
    paths |= set(glob.glob(os.path.dirname(sys.modules["encodings"].__file__) + "/*.py"))
    return {path for path in paths if os.path.isfile(path) and not path.startswith(("/dev/", "/proc/"))}


def with_links(path):
    """Yields ``path`` with its folder resolved, then each link of the chain down to the file."""
    while True:
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        yield path
        if not os.path.islink(path):
            return
        path = os.path.join(os.path.dirname(path), os.readlink(path))


def pack(target):
    wanted = sorted({step for path in files_in_use() for step in with_links(path)})
    # Imported only here: the modules that it imports are not needed in the image.
    import tarfile

    with tarfile.open(target, "w") as tar:
        # On a merged-usr host the path of the loader begins with a link in the root folder.
        for path in ("/bin", "/lib", "/lib64", "/sbin"):
            if os.path.islink(path):
                tar.add(path)
        for name in ("dev", "etc", "proc", "run", "sys", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path in wanted:
            tar.add(path)
        tar.add(os.path.abspath(__file__), arcname=PROGRAM)


if __name__ == "__main__":
    if sys.argv[1:] == ["run"]:
        run()
    elif len(sys.argv) == 3 and sys.argv[1] == "pack":
        pack(sys.argv[2])
    else:
        sys.exit(__doc__)
