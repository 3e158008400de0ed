# SPDX-License-Identifier: GPL-3.0-or-later
"""Create paths that are no CRIU configuration files, and describe paths. Prints JSON.

configs.py make FOLDER     create a directory, a link and unusable files
configs.py look PATH...    kind, mode, size and SHA-256 of each path, and the answer of criu --version
"""

import hashlib
import json
import os
import stat
import subprocess
import sys

# 100 MiB is too large for the module; the file is sparse, so it uses no disk space.
HUGE = 100 * 1024 * 1024
TEXTS = {
    "crlf": b"timeout 5\r\ntcp-established\r\n",
    "garbage": bytes(range(256)) * 8,
    "private": b"timeout 5\n",
}


def make(folder):
    os.makedirs(folder, mode=0o755, exist_ok=True)
    os.makedirs(f"{folder}/directory/inside", exist_ok=True)
    for name, data in TEXTS.items():
        with open(f"{folder}/{name}", "wb") as handle:
            handle.write(data)
        os.chmod(f"{folder}/{name}", 0o600 if name == "private" else 0o644)
    if not os.path.islink(f"{folder}/link"):
        os.symlink("crlf", f"{folder}/link")
    with open(f"{folder}/huge", "wb") as handle:
        handle.truncate(HUGE)


def one(path):
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    seen = {"kind": stat.filemode(status.st_mode)[0], "mode": f"{stat.S_IMODE(status.st_mode):04o}"}
    seen.update(size=status.st_size, owner=status.st_uid, inode=status.st_ino)
    if stat.S_ISREG(status.st_mode) and status.st_size < HUGE:
        with open(path, "rb") as handle:
            seen["sha256"] = hashlib.sha256(handle.read()).hexdigest()
    return seen


def look(paths):
    criu = subprocess.run(["criu", "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return {"files": {path: one(path) for path in paths}, "criu": [criu.returncode, criu.stdout.split("\n")[0]]}


if __name__ == "__main__":
    what, arguments = sys.argv[1], sys.argv[2:]
    if what == "make":
        make(arguments[0])
        arguments = [os.path.join(arguments[0], name) for name in sorted(os.listdir(arguments[0]))] + arguments[1:]
    print(json.dumps(look(arguments)))
