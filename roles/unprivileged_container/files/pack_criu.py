# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs the host's CRIU and the libraries that it needs into a tar archive that is unpacked over an image.

    pack_criu.py TAR CRIU CAPABILITY,... [PROGRAM...]

The archive contains CRIU as /usr/local/bin/criu with the file capabilities, executable by all users, and further
programs and all libraries at their paths on the host. The loader opens a library by a name that is often a link, so
links are packed together with their targets.
"""

import os
import re
import struct
import subprocess
import sys
import tarfile

# linux/capability.h: revision 2, effective bit set; the sets are permitted and inheritable, low words first.
VFS_CAP = 0x02000000 | 0x000001
BITS = {"CHECKPOINT_RESTORE": 40, "NET_ADMIN": 12, "SYS_PTRACE": 19}
INSIDE = "usr/local/bin/criu"
XATTR = "SCHILY.xattr.security.capability"


def capability_attribute(names):
    """Returns the value of security.capability that gives ``names`` to each process that runs the file."""
    bits = sum(1 << BITS[name] for name in names)
    low, high = bits & 0xFFFFFFFF, bits >> 32
    return struct.pack("<5I", VFS_CAP, low, low, high, high)


def libraries(listing):
    """Returns the paths in the output of ldd; exits if a library was not found."""
    lost = re.findall(r"^\s*(\S+) => not found", listing, re.MULTILINE)
    if lost:
        sys.exit(f"Cannot pack CRIU: the libraries {', '.join(lost)} are not on this host. Install them.")
    return re.findall(r"^\s*(?:\S+ => )?(/\S+) \(0x", listing, re.MULTILINE)


def with_links(path):
    """Yields ``path`` with its folder resolved, then each link of the chain down to the file."""
    path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    while os.path.islink(path):
        yield path
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
    yield path


def needed(program):
    """Returns the libraries of ``program``."""
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=True, env=environment)
    return libraries(done.stdout)


def pack(target, criu, names, programs):
    """Writes the archive."""
    paths = {*programs, *(path for program in (criu, *programs) for path in needed(program))}
    wanted = sorted({step for path in paths for step in with_links(path)})
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in wanted:
            tar.add(path, filter=as_root)
        program = as_root(tar.gettarinfo(os.path.realpath(criu), arcname=INSIDE))
        program.mode = 0o755
        attribute = capability_attribute(names)
        program.pax_headers = {XATTR: attribute.decode("utf-8", "surrogateescape")}
        with open(criu, "rb") as source:
            tar.addfile(program, source)


def as_root(member):
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


if __name__ == "__main__":
    if len(sys.argv) < 4 or set(sys.argv[3].split(",")) - set(BITS):
        sys.exit(__doc__)
    pack(sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4:])
