# SPDX-License-Identifier: GPL-3.0-or-later
"""Describe the units of units.yml on a host. Runs on the host as root, prints JSON."""

import json
import os
import subprocess
import sys

DATA = "/srv/units"
# In two parts, because Ansible logs the text of this program
SECRET = "correct-" + "horse"
PROPERTIES = "ActiveState,UnitFileState,MainPID,InvocationID,NRestarts,FragmentPath,Type"


def output(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout


def unit(name):
    shown = output("systemctl", "show", f"--property={PROPERTIES}", f"{name}.service")
    seen = {"systemd": dict(line.split("=", 1) for line in shown.splitlines())}
    inspected = json.loads(output("podman", "container", "inspect", name) or "[]")
    if inspected:
        state, config = inspected[0]["State"], inspected[0]["HostConfig"]
        seen["container"] = {
            "status": state["Status"],
            "conmon": state.get("ConmonPid"),
            "health": (state.get("Health") or state.get("Healthcheck") or {}).get("Status"),
            "memory": config["Memory"],
            "image": inspected[0]["ImageName"],
            "label": inspected[0]["ProcessLabel"],
            "mount": inspected[0]["MountLabel"],
            "comm": output("cat", f"/proc/{seen['systemd']['MainPID']}/comm").strip(),
        }
    data = f"{DATA}/{name}"
    if os.path.isdir(data):
        seen["label"] = output("stat", "--format=%C", data).strip()
        for file in ("starts", "seen.json"):
            if os.path.exists(f"{data}/{file}"):
                with open(f"{data}/{file}") as handle:
                    seen[file] = [json.loads(line) for line in handle]
    return seen


def files(name):
    """Return the files of a unit: path, mode, and whether a secret is in it."""
    found = {}
    for folder in ("/etc/containers/systemd", "/etc/systemd/system", "/etc/criu-hosts/units", "/run/criu-hosts"):
        for top, dummy, names in os.walk(folder):
            for one in names:
                path = os.path.join(top, one)
                if name in one:
                    with open(path, errors="replace") as handle:
                        secret = SECRET in handle.read()
                    found[path] = [oct(os.stat(path).st_mode & 0o777), secret]
    return found


names = sys.argv[1:]
journal = output("journalctl", "--boot", "--no-pager", "--output=cat")
print(
    json.dumps(
        {
            "units": {name: unit(name) for name in names},
            "files": {name: files(name) for name in names},
            "secret_in_journal": SECRET in journal,
            "containers": output("podman", "ps", "--all", "--format={{.Names}}").split(),
        }
    )
)
