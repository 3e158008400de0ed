# SPDX-License-Identifier: GPL-3.0-or-later
"""Run criu restore as in a shell, without the modules; print JSON.

bare.py IMAGES PID off                 with the boolean off
bare.py IMAGES PID on [COMMAND...]     with the boolean on, CRIU started by COMMAND, for example runcon with options
"""

import json
import os
import re
import subprocess
import sys
import time

BOOLEAN = "unconfined_dyntrans_all"
AUDIT = "/var/log/audit/audit.log"


def read(path):
    with open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read()


def main():
    images, pid, value, *command = sys.argv[1:]
    place = os.path.getsize(AUDIT)
    subprocess.run(["setsebool", BOOLEAN, value], check=True)
    try:
        argv = [*command, "criu", "restore", "-D", images, "-W", "/run", "-o", "bare.log", "--restore-detached"]
        done = subprocess.run([*argv, "--manage-cgroups=ignore"], check=False, stdin=subprocess.DEVNULL)
        time.sleep(1)
    finally:
        subprocess.run(["setsebool", BOOLEAN, "off"], check=True)
    labels = []
    if done.returncode == 0:
        labels = [read(f"/proc/{pid}/task/{tid}/attr/current").strip("\0\n") for tid in os.listdir(f"/proc/{pid}/task")]
        os.kill(int(pid), 9)
        time.sleep(1)
    with open(AUDIT, encoding="utf-8", errors="replace") as handle:
        handle.seek(place)
        denied = [line.strip() for line in handle if re.match(r"type=AVC .* comm=\"(criu|lab-other|python3)", line)]
    errors = [line for line in read("/run/bare.log").splitlines() if "Error (" in line]
    print(json.dumps({"rc": done.returncode, "labels": labels, "denied": denied, "errors": errors}))


if __name__ == "__main__":
    main()
