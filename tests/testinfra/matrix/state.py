# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the parts of a host that the collection changes: policy, booleans, labels, files, diversions, packages."""

import hashlib
import json
import os
import subprocess

TREES = (
    "/var/lib/selinux",
    "/etc/selinux",
    "/etc/criu",
    "/etc/ansible",
    "/opt",
    "/usr/local/sbin",
    "/var/lib/criu-hosts",
)
LABELLED = (
    "/usr/sbin/criu",
    "/usr/lib/podman/netavark",
    "/usr/lib/podman/aardvark-dns",
    "/usr/local/sbin",
    "/opt",
    "/etc",
    "/var/lib",
    "/run",
)
# Rebuilt with every policy, so their content is compared as booleans and modules instead
PASSING = ("/var/lib/selinux/default/active/commit_num", "/var/lib/selinux/final")


def output(*argv):
    """Return the sorted lines that a command prints."""
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return sorted(done.stdout.splitlines())


def label(path):
    """Return role, type and range of a path's label, or None if it does not exist.

    The user is left out: every commit of the policy copies the whole store, with the user of the process that commits.
    """
    try:
        return os.getxattr(path, "security.selinux", follow_symlinks=False).rstrip(b"\0").decode().partition(":")[2]
    except OSError:
        return None


def entry(path):
    """Return mode, owner, label and content of a path."""
    status = os.lstat(path)
    what = [oct(status.st_mode), status.st_uid, status.st_gid, label(path)]
    if os.path.islink(path):
        what.append(os.readlink(path))
    elif os.path.isfile(path):
        with open(path, "rb") as handle:
            what.append(hashlib.sha256(handle.read()).hexdigest())
    return what


def files():
    """Return all paths below the folders that the collection writes to."""
    found = {}
    for tree in TREES:
        for folder, folders, names in os.walk(tree):
            for name in folders + names:
                path = os.path.join(folder, name)
                if not path.startswith(PASSING):
                    found[path] = entry(path)
    return found


def booleans():
    """Return the value of each boolean of the loaded policy."""
    base = "/sys/fs/selinux/booleans"
    found = {}
    for name in os.listdir(base):
        with open(os.path.join(base, name)) as handle:
            found[name] = handle.read().split()[0]
    return found


print(
    json.dumps(
        {
            "files": files(),
            "booleans": booleans(),
            "modules": output("semodule", "-lfull"),
            "labels": {path: label(path) for path in LABELLED},
            "diversions": output("dpkg-divert", "--list"),
            "packages": output("dpkg-query", "--show", "--showformat=${Package}\\n"),
        }
    )
)
