# SPDX-License-Identifier: GPL-3.0-or-later
"""Reports about containers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from host import (
    COUNTER,
    alive,
    changed,
    command,
    container,
    count,
    failed,
    inspect,
    kill,
    pid_of,
    processes,
    refused,
    report,
    run_task,
    until,
    warned,
)
from world import FOLDER, IMAGE

CHECKPOINT, RESTORE = "container_checkpoint", "container_restore"
ARCHIVE = str(FOLDER / "c.tar.zst")
# Is ready when the code before it has run.
READY = """
open(sys.argv[1], "w").write("1")
n = 1
while True:
    n += 1
    time.sleep(0.05)
    open(sys.argv[1], "w").write(str(n))
"""


def there_and_back(name: str, **options: object) -> list[str]:
    """Checkpoint and restore a container in place; return what is wrong."""
    seen = count(name)
    found = changed(CHECKPOINT, name=name, **options)
    found += [] if inspect(name, "{{.State.Status}}") == "exited" else ["it is not stopped after the checkpoint"]
    return found + changed(RESTORE, name=name, **options) + alive(name, seen)


def through_an_archive(name: str, **options: object) -> list[str]:
    """Checkpoint a container into an archive, remove it, and restore it; return what is wrong."""
    seen = count(name)
    found = changed(CHECKPOINT, name=name, archive_path=ARCHIVE, **options)
    command("podman", "rm", "--force", "--ignore", "--volumes", name)
    return found + changed(RESTORE, name=name, archive_path=ARCHIVE, **options) + alive(name, seen)


def forget_the_boot() -> None:
    """Do to podman what a boot does: all in /run is gone."""
    for pid in processes("/usr/bin/conmon"):
        kill(pid)
    for path in ("/run/libpod", "/run/containers", "/run/crun", "/run/runc"):
        shutil.rmtree(path, ignore_errors=True)


@report("containers/toolbox#421, containers/podman#1703")
def state_survives_a_boot() -> list[str]:
    names = ("a1", "a2", "a3")
    found = []
    for name in names:
        container(name)
        found += changed(CHECKPOINT, name=name)
    seen = {name: int(Path(inspect(name, "{{.StaticDir}}")).exists()) for name in names}
    forget_the_boot()
    for name in names:
        found += changed(RESTORE, name=name) + alive(name, seen[name])
    return found


@report("containers/toolbox#421: the second run of the checkpoint, and absent, after a boot")
def a_boot_does_not_make_a_checkpoint_old() -> list[str]:
    container("ab1")
    seen = count("ab1")
    found = changed(CHECKPOINT, name="ab1")
    forget_the_boot()
    again = run_task(CHECKPOINT, name="ab1")
    if again.failed or (again.data or {}).get("changed"):
        found.append(f"the second run after the boot: {again.line}")
    found += refused(CHECKPOINT, "checkpoint_in_use", name="ab1", state="absent")
    return found + changed(RESTORE, name="ab1") + alive("ab1", seen)


@report("containers/podman#3774, #4594")
def a_container_with_rm_goes_through_an_archive() -> list[str]:
    container("rm1", "--rm")
    return through_an_archive("rm1")


@report("containers/podman#3774: in place")
def a_container_with_rm_is_refused_in_place() -> list[str]:
    container("rm2", "--rm")
    return refused(CHECKPOINT, "auto_remove", "archive_path", name="rm2") + alive("rm2")


@report("ansible/ansible-modules-core#4188, checkpoint-restore/criu#9")
def a_replaced_bind_mount_is_refused() -> list[str]:
    conf = FOLDER / "app.conf"
    conf.write_text("v1\n")
    container("c1", f"--volume={conf}:/etc/app.conf")
    (FOLDER / "new").write_text("v2\n")
    (FOLDER / "new").rename(conf)
    found = refused(CHECKPOINT, "mount_replaced", str(conf), name="c1") + alive("c1")
    return found + refused(CHECKPOINT, "mount_replaced", name="c1", archive_path=ARCHIVE) + alive("c1")


@report("opencontainers/runc#2902, #3442")
def a_link_as_the_source_of_a_mount_never_loses_the_state() -> list[str]:
    (FOLDER / "real").mkdir()
    (FOLDER / "link").symlink_to("real")
    container("m6", f"--volume={FOLDER}/link:/data")
    seen = count("m6")
    result = run_task(CHECKPOINT, name="m6")
    found = [result.line] if result.failed else warned(result, "link")
    found += failed(run_task(RESTORE, name="m6"), "mount_source_link", "mntns-compat-mode")
    Path("/etc/criu/runc.conf").write_text("manage-cgroups ignore\nmntns-compat-mode\n")
    return found + changed(RESTORE, name="m6") + alive("m6", seen)


@report("containers/crun#1747")
def a_link_as_the_target_of_a_mount_works() -> list[str]:
    (FOLDER / "data").mkdir()
    container("m7", f"--volume={FOLDER}/data:/var/run/app")
    return there_and_back("m7") + through_an_archive("m7")


@report("checkpoint-restore/criu#2840, opencontainers/runc#2748, #2798, containers/crun#2240")
def a_restore_does_not_unmount_file_systems_of_the_host() -> list[str]:
    nfs = FOLDER / "o2/nfs"
    nfs.mkdir(parents=True)
    command("mount", "-t", "tmpfs", "tmpfs", str(nfs))
    (nfs / "precious").touch()
    container("um", f"--volume={FOLDER}/o2:/data")
    result = run_task(CHECKPOINT, name="um")
    found = [f"the checkpoint failed: {result.line}"] if result.failed else warned(result, str(nfs))
    found += refused(RESTORE, "host_mounts_at_risk", str(nfs), name="um")
    return found + ([] if (nfs / "precious").exists() else ["the file system of the host is unmounted"])


@report("containers/podman#9864, #8026, checkpoint-restore/criu#1424")
def a_container_in_the_namespace_of_another_has_no_archive() -> list[str]:
    container("net")
    container("dep", network="container:net")
    found = refused(CHECKPOINT, "has_dependencies", "net", name="dep", archive_path=ARCHIVE) + alive("dep")
    result = run_task(CHECKPOINT, name="dep")
    return found + ([result.line] if result.failed else warned(result, "net"))


@report("containers/podman#8026: pods")
def a_container_in_a_pod_is_refused_or_comes_back() -> list[str]:
    command("podman", "pod", "create", "--name=p", "--infra=false")
    container("inpod", "--pod=p")
    return refused(CHECKPOINT, "in_pod", name="inpod", archive_path=ARCHIVE) + alive("inpod")


@report("containers/podman#28963, checkpoint-restore/criu#975, #1258, cri-o/cri-o#6977")
def an_archive_of_a_container_that_ran_on_is_consistent_or_refused() -> list[str]:
    program = """
import sys
out = open("/app.log", "a", buffering=1)
n = 0
while True:
    n += 1
    out.write("line %d\\n" % n * 200)
    open(sys.argv[1], "w").write(str(n))
"""
    container("log", program=program)
    result = run_task(CHECKPOINT, name="log", archive_path=ARCHIVE, leave_running=True)
    if result.failed:
        return failed(result, "archive_inconsistent", "changed") + alive("log")
    back = run_task(RESTORE, name="log", new_name="log2", archive_path=ARCHIVE)
    if back.failed:
        return [*warned(result, "run"), back.line]
    # The file of the count may have been empty when it was copied.
    until("log2", lambda: count("log2"))
    return warned(result, "run") + alive("log2", 0)


@report("containers/podman#19325")
def what_an_exec_session_runs_is_named() -> list[str]:
    container("ex")
    command("podman", "exec", "--detach", "ex", "sleep", "4711")
    until("the exec session", lambda: processes("4711"))
    result = run_task(CHECKPOINT, name="ex")
    return [result.line] if result.failed else warned(result, "sleep")


@report("containers/podman#24590, #4790")
def a_paused_container_is_refused_with_the_right_advice() -> list[str]:
    container("p1")
    command("podman", "pause", "p1")
    found = refused(CHECKPOINT, "container_paused", "podman unpause", name="p1")
    found += refused(RESTORE, "container_paused", "podman unpause", name="p1")
    command("podman", "unpause", "p1")
    return found + there_and_back("p1")


@report("found on the way: the log of an earlier failure")
def a_second_failure_has_its_own_cause() -> list[str]:
    container("lock", program="import fcntl, sys, time\nf = open('/lock', 'w')\nfcntl.flock(f, 2)" + READY)
    found = failed(run_task(CHECKPOINT, name="lock"), "file_locks_needed", "file_locks")
    Path("/etc/criu/runc.conf").write_text("manage-cgroups ignore\nno-such-word\n")
    second = run_task(CHECKPOINT, name="lock", file_locks=True)
    if not second.failed or second.reason == "file_locks_needed":
        found.append(f"the second failure: {second.line}")
    Path("/etc/criu/runc.conf").write_text("manage-cgroups ignore\n")
    return found + there_and_back("lock", file_locks=True)


GHOST = (
    "import os, sys, time\nf = open('/ghost', 'wb')\nf.write(bytes(3 << 20))\nf.flush()\nos.unlink('/ghost')" + READY
)
LINKED = (
    "import os, sys, time\nf = open('/first', 'w')\nf.write('x')\nf.flush()\nos.link('/first', '/second')\n"
    "os.unlink('/first')" + READY
)


@report("checkpoint-restore/criu#537, #2501")
def a_large_deleted_file_is_refused_with_its_remedy() -> list[str]:
    container("ghost", program=GHOST)
    found = failed(run_task(CHECKPOINT, name="ghost"), "ghost_limit", "ghost-limit") + alive("ghost")
    Path("/etc/criu/runc.conf").write_text("manage-cgroups ignore\nghost-limit 8M\n")
    return found + there_and_back("ghost")


@report("moby/moby#30019, checkpoint-restore/criu#1113")
def a_file_without_its_first_name_is_refused_with_its_remedy() -> list[str]:
    container("linked", program=LINKED)
    found = failed(run_task(CHECKPOINT, name="linked"), "link_remap_needed", "link-remap") + alive("linked")
    Path("/etc/criu/runc.conf").write_text("manage-cgroups ignore\nlink-remap\n")
    return found + there_and_back("linked")


@report("checkpoint-restore/criu#505, #796, #377")
def a_connection_to_a_socket_of_the_host_is_refused() -> list[str]:
    server = "import socket, sys\ns = socket.socket(1)\ns.bind(sys.argv[3])\ns.listen(5)\nc = s.accept()\nc[0].recv(1)"
    path = FOLDER / "sock"
    subprocess.Popen(["python3", "-c", server, "-", "report-server", str(path)], stdin=subprocess.DEVNULL)
    until("the server", path.exists)
    client = "import socket, sys, time\ns = socket.socket(1)\ns.connect('/host/sock')" + READY
    container("sock", f"--volume={FOLDER}:/host", program=client)
    return failed(run_task(CHECKPOINT, name="sock"), "external_socket", "socket") + alive("sock")


@report("containers/podman#24307")
def an_image_that_lost_its_name_is_found_by_its_id() -> list[str]:
    command("podman", "tag", IMAGE, "localhost/moved:1")
    container("img")
    return through_an_archive("img")


@report("cockpit-project/cockpit-podman#966")
def a_renamed_container_is_named() -> list[str]:
    container("old")
    found = changed(CHECKPOINT, name="old", archive_path=ARCHIVE)
    command("podman", "rename", "old", "other")
    return found + refused(RESTORE, "container_exists", "other", name="old", archive_path=ARCHIVE)


@report("moby/moby#45362, containers/podman#3487, #18471")
def the_beginning_of_an_id_is_no_name() -> list[str]:
    container("foreign")
    short = inspect("foreign", "{{.Id}}")[:3]
    found = refused(CHECKPOINT, "container_missing", name=short) + refused(RESTORE, "container_missing", name=short)
    run_task(CHECKPOINT, name=short, state="absent")
    return found + alive("foreign")


@report("containers/podman#3487: whole ids")
def a_whole_id_stands_for_its_container() -> list[str]:
    container("byid")
    whole, seen = inspect("byid", "{{.Id}}"), count("byid")
    found = changed(CHECKPOINT, name=whole, archive_path=ARCHIVE)
    found += changed(RESTORE, name=whole, archive_path=ARCHIVE) + alive("byid", seen)
    gone = run_task(CHECKPOINT, name=whole, archive_path=ARCHIVE, state="absent")
    return found + ([gone.line] if gone.failed or os.path.exists(ARCHIVE) else [])


@report("containers/podman#13566, #1835")
def a_checkpoint_that_is_kept_is_restored_again() -> list[str]:
    container("kept")
    seen = count("kept")
    found = changed(CHECKPOINT, name="kept") + changed(RESTORE, name="kept", keep=True) + alive("kept", seen)
    command("podman", "stop", "--time=0", "kept")
    return (
        found
        + ([] if not (back := run_task(RESTORE, name="kept", keep=True)).failed else [back.line])
        + alive("kept", seen)
    )


@report("containers/podman#26259, #20992")
def odd_values_of_the_environment_are_kept() -> list[str]:
    values = {"A": "a b", "B": "100%", "C": "$HOME", "D": "'\"'", "E": "a=b", "F": "\\n", "G": "ä", "H": ""}
    container("env", *(f"--env={key}={value}" for key, value in values.items()))
    found = there_and_back("env") + through_an_archive("env")
    kept = dict(one.split("=", 1) for one in json.loads(inspect("env", "{{json .Config.Env}}")))
    return found + [f"{key} is {kept.get(key)!r}" for key, value in values.items() if kept.get(key) != value]


@report("containers/podman#15055")
def a_container_with_the_name_of_its_image_is_the_container() -> list[str]:
    command("podman", "tag", IMAGE, "localhost/twin:latest")
    container("twin")
    return there_and_back("twin")


@report("containers/podman#12069, #9099")
def a_restart_policy_does_not_start_what_is_checkpointed() -> list[str]:
    found = []
    for policy in ("always", "on-failure", "unless-stopped"):
        container(f"r-{policy}", f"--restart={policy}")
        found += there_and_back(f"r-{policy}")
    return found


@report("containers/podman#12277, #14389, #11974, #9744, #11677")
def shared_memory_host_network_and_log_drivers_work() -> list[str]:
    shm = "import sys, time\nf = open('/dev/shm/x', 'w')\nf.write('kept')\nf.flush()" + READY
    container("shm", program=shm)
    found = there_and_back("shm") + through_an_archive("shm")
    found += [] if Path(f"/proc/{pid_of('shm')}/root/dev/shm/x").read_text() == "kept" else ["/dev/shm/x is not kept"]
    container("hostnet", network="host")
    found += there_and_back("hostnet")
    for driver in ("none", "k8s-file"):
        container(f"log-{driver}", f"--log-driver={driver}")
        found += there_and_back(f"log-{driver}")
    return found


@report("containers/podman#13672, checkpoint-restore/criu#2379, containers/podman#4606")
def a_clone_of_a_clone_keeps_its_files() -> list[str]:
    container("first")
    seen = count("first")
    found = changed(CHECKPOINT, name="first", archive_path=ARCHIVE)
    command("podman", "rm", "--force", "first")
    found += changed(RESTORE, name="first", new_name="second", archive_path=ARCHIVE)
    if found:
        return found
    Path(f"/proc/{pid_of('second')}/root/own").write_text("kept")
    found += changed(CHECKPOINT, name="first", archive_path=ARCHIVE, state="absent")
    result = run_task(CHECKPOINT, name="second", archive_path=ARCHIVE)
    if result.failed:  # with control groups of systemd
        found += failed(result, "cgroup_missing", "new_name") + alive("second", seen)
        command("podman", "stop", "--time=0", "second")
        command("podman", "start", "second")
        until("the container after its start", lambda: count("second"))
        return found + changed(CHECKPOINT, name="second", archive_path=ARCHIVE)
    command("podman", "rm", "--force", "second")
    found += changed(RESTORE, name="second", archive_path=ARCHIVE) + alive("second", seen)
    kept = Path(f"/proc/{pid_of('second')}/root/own")
    return found + ([] if kept.exists() and kept.read_text() == "kept" else ["its file is not kept"])


@report("containers/podman#10615, #12042, #12574")
def many_options_of_podman_work() -> list[str]:
    rows = {
        "privileged": ("--privileged",),
        "uts": ("--uts=host",),
        "tty": ("--tty",),
        "tmpfs": ("--tmpfs=/scratch",),
        "tz": ("--tz=UTC",),
        "caps": ("--cap-drop=net_raw",),
        "dns": ("--hostname=box",),
        "named": ("--volume=named:/data",),
        "anonymous": ("--volume=/data",),
    }
    found = []
    for name, options in rows.items():
        container(name, *options)
        found += [f"{name}: {problem}" for problem in there_and_back(name)]
        command("podman", "rm", "--force", "--time=0", "--volumes", name)
    return found


@report("ClusterLabs/resource-agents#1572, containers/podman#6520")
def a_container_without_its_conmon_comes_back_with_one() -> list[str]:
    container("orphan")
    seen, conmon = count("orphan"), int(inspect("orphan", "{{.State.ConmonPid}}"))
    kill(conmon)
    found = changed(CHECKPOINT, name="orphan") + changed(RESTORE, name="orphan") + alive("orphan", seen)
    now = int(inspect("orphan", "{{.State.ConmonPid}}"))
    return found + ([] if now != conmon and os.path.isdir(f"/proc/{now}") else ["it has no conmon"])


FAMILY = {
    "cwd": "import os, sys, time\nos.mkdir('/gone')\nos.chdir('/gone')\nos.rmdir('/gone')",
    "memfd": "import os, sys, time\nf = os.memfd_create('x')\nos.write(f, b'kept')",
    "session": "import os, sys, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(9999)",
    "zombie": "import os, sys, time\nif os.fork() == 0:\n    os._exit(0)",
    "epoll": "import select, socket, sys, time\ne = select.epoll()\ns = socket.socketpair()\ne.register(s[0])",
    "netlink": "import socket, sys, time\ns = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)\ns.bind((0, 0))",
    "ghost": "import os, sys, time\nf = open('/small', 'w')\nf.write('x')\nf.flush()\nos.unlink('/small')",
    "pidfd": "import os, sys, time\nf = os.pidfd_open(os.getpid())",
}


@report("checkpoint-restore/criu#9 and its family")
def unusual_descriptors_come_back() -> list[str]:
    found = []
    for name, program in FAMILY.items():
        container(name, program=program + READY)
        found += [f"{name}: {problem}" for problem in there_and_back(name)]
    return found


@report("containers/podman#10338, checkpoint-restore/criu#2710")
def a_second_name_does_not_disturb_the_first() -> list[str]:
    container("base")
    seen = count("base")
    found = changed(CHECKPOINT, name="base", archive_path=ARCHIVE)
    found += changed(RESTORE, name="base", archive_path=ARCHIVE) + alive("base", seen)
    clone = run_task(RESTORE, name="base", new_name="clone", archive_path=ARCHIVE)
    return found + ([clone.line] if clone.failed else alive("clone", seen)) + alive("base", seen)


@report("dwedia/podmanQuadlets#2")
def a_mount_whose_source_is_gone_is_refused() -> list[str]:
    (FOLDER / "src").mkdir()
    container("nosrc", f"--volume={FOLDER}/src:/data", program=COUNTER)
    found = changed(CHECKPOINT, name="nosrc")
    (FOLDER / "src").rmdir()
    found += refused(RESTORE, "mount_source_missing", f"{FOLDER}/src", name="nosrc")
    (FOLDER / "src").mkdir()
    return found
