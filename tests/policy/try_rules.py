# SPDX-License-Identifier: GPL-3.0-or-later
"""Run cases on a lab machine whose policy module has a separate boolean for each permission. Prints JSON lines.

try_rules.py scan PLAN        in permissive mode with every rule off: record the accesses that each case requests
try_rules.py rules PLAN       in enforcing mode, trial by trial: record the case that fails
PLAN is JSON: {"booleans": {NAME: whether it is for the cases of users}, "trials": [{"key", "off", "labels", "cases"}]}
"""

import contextlib
import json
import os
import sys

from cases import AUDIT, CONTAINERS, PODMAN, Failed, call, denials, make_bundles, repair, run_case, runs, start, switch

USER = "user-"
ATTRIBUTE = "security.selinux"


def emit(**entry):
    print(json.dumps(entry), flush=True)


def attempt(case):
    """Run a case; return why it failed, or an empty text, and the denials that it caused."""
    place = os.path.getsize(AUDIT)
    try:
        return "", run_case(case)
    except Failed as error:
        return str(error), denials(place)


def enforce(value):
    with open("/sys/fs/selinux/enforce", "w", encoding="ascii") as handle:
        handle.write(str(value))


def scan(plan):
    # The containers are started with every rule on: a case tests only the dump and the restore.
    for case in plan["cases"]:
        if case in CONTAINERS:
            repair(case)
    switch(dict.fromkeys(plan["booleans"], False))
    enforce(0)
    try:
        for case in plan["cases"]:
            why, found = attempt(case)
            asked = {(one["source"], one["target"], one["class"], one["permissions"]) for one in found}
            emit(kind="scan", case=case, why=why, asked=sorted(asked))
    finally:
        enforce(1)
        switch(dict.fromkeys(plan["booleans"], True))


def touches(trial, denial):
    """Return whether the trial has caused a denial; its ``vectors`` are source, target, class and permissions."""
    for source, target, class_name, permissions in trial["vectors"]:
        end = denial["source"] if target == "self" else target
        same = (source, class_name) == (denial["source"], denial["class"]) and end in ("domain", denial["target"])
        if same and set(permissions) & set(denial["permissions"].split()):
            return True
    return False


@contextlib.contextmanager
def relabeled(labels):
    """Give objects the type that they would have without a rule; reset the old labels at the end."""
    before = {}
    for top, made in labels:
        device = os.lstat(top).st_dev
        paths = [top]
        for folder, folders, files in os.walk(top):
            folders[:] = [name for name in folders if os.lstat(f"{folder}/{name}").st_dev == device]
            paths += [f"{folder}/{name}" for name in (*folders, *files)]
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                old = os.getxattr(path, ATTRIBUTE, follow_symlinks=False)
                user, role, dummy_type, level = old.decode().split(":", 3)
                before[path] = old
                os.setxattr(path, ATTRIBUTE, f"{user}:{role}:{made}:{level}".encode(), follow_symlinks=False)
    try:
        yield
    finally:
        for path, old in before.items():
            with contextlib.suppress(FileNotFoundError):
                os.setxattr(path, ATTRIBUTE, old, follow_symlinks=False)


def one_case(plan, trial, case):
    """Run a case without the permissions or labels of the trial; return why it failed, and a denial of the trial."""
    for_user = case.startswith(USER)
    off = set(trial["off"])
    if case in CONTAINERS and not runs(case):
        repair(case)
    switch({name: name not in off and (for_user or not user) for name, user in plan["booleans"].items()})
    try:
        with relabeled(trial["labels"]):
            if trial["labels"] and case in CONTAINERS:
                start(case)
            why, found = attempt(case)
    except Failed as error:
        why, found = f"start: {error}", []
    finally:
        switch(dict.fromkeys(plan["booleans"], True))
    if case in CONTAINERS and (why or trial["labels"]):
        repair(case)
    return why, next((one["line"] for one in found if touches(trial, one)), "")


def rules(plan):
    for trial in plan["trials"]:
        failed, logged, tried = None, {}, []
        for case in trial["cases"]:
            tried.append(case)
            why, line = one_case(plan, trial, case)
            if line:
                logged[case] = line
            if why:
                failed = {"case": case, "why": why}
                break
        emit(kind="rule", key=trial["key"], failed=failed, logged=logged, tried=tried)


def main():
    with open(sys.argv[2], encoding="utf-8") as handle:
        plan = json.load(handle)
    # An earlier trial may have been killed.
    enforce(1)
    switch(dict.fromkeys(plan["booleans"], True))
    for case in PODMAN:
        call(["podman", "rm", "--force", "--ignore", "--time", "0", case])
    make_bundles()
    {"scan": scan, "rules": rules}[sys.argv[1]](plan)


if __name__ == "__main__":
    main()
