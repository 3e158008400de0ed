# SPDX-License-Identifier: GPL-3.0-or-later
"""Describe a Nextcloud on this host, so that two moments can be compared. Runs on the host, prints JSON.

fingerprint.py CONTAINER DATABASE FOLDER...
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from typing import Any


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def tree(top: str) -> dict[str, list[Any]]:
    """Return each path with its mode, owner, size, time, label and content."""
    found = {}
    for folder, folders, files in os.walk(top):
        for name in (".", *folders, *files) if folder == top else (*folders, *files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content = ""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as handle:
                    content = hashlib.sha256(handle.read()).hexdigest()
            elif stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            label = os.getxattr(path, "security.selinux", follow_symlinks=False).decode().rstrip("\0")
            owner = f"{status.st_uid}:{status.st_gid}"
            found[os.path.normpath(os.path.relpath(path, top))] = [
                oct(status.st_mode),
                owner,
                status.st_size * stat.S_ISREG(status.st_mode),
                status.st_mtime_ns,
                label,
                content,
            ]
    return found


def database(name: str) -> list[str]:
    """Return the lines of a dump with the statement that creates the database, without the random key of pg_dump."""
    text = output("runuser", "-u", "postgres", "--", "pg_dump", "--create", name)
    return [line for line in text.splitlines() if line and not line.startswith(("--", "\\restrict", "\\unrestrict"))]


def main() -> None:
    container, base, *folders = sys.argv[1:]
    found = json.loads(output("podman", "container", "inspect", container))[0]
    print(
        json.dumps(
            {
                "id": found["Id"],
                "image": found["Image"],
                "image_name": found["ImageName"],
                "label": found["ProcessLabel"],
                "restored": found["State"].get("Restored", False),
                "database": database(base),
                "folders": {folder: tree(folder) for folder in folders},
            }
        )
    )


if __name__ == "__main__":
    main()
