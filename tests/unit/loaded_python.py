# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs modules in a Python that has loaded ansible.module_utils already, which is most of the time of a short module.

A process loads it once for all tests. A child of that process runs each module, with the arguments, the environment,
the folder and the standard files of the program that Ansible has started as the Python of the host.

loaded_python.py SOCKET    serve such programs until standard input is closed
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

PROGRAM = f"""\
#!{sys.executable} -IS
import json, os, socket, sys
ENVIRONMENT = {{}}
server = socket.socket(socket.AF_UNIX)
server.connect(os.path.join(os.path.dirname(__file__), "socket"))
socket.send_fds(server, [b"!"], [0, 1, 2])
server.sendall(json.dumps([sys.argv[1:], {{**os.environ, **ENVIRONMENT}}, os.getcwd()]).encode() + b"\\n")
sys.exit(int(server.recv(16) or 1))  # a module that died says nothing
"""


@cache
def start() -> Path:
    """Starts the server, which ends with this program; returns its folder."""
    folder = Path(tempfile.mkdtemp(prefix="loaded-python-"))
    atexit.register(shutil.rmtree, folder)
    argv = [sys.executable, __file__, str(folder / "socket")]
    server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(server.communicate)
    assert server.stdout is not None and server.stdout.readline() == b"ready\n"
    return folder


@cache
def loaded_python(**environment: str) -> str:
    """Returns the path of a program that a play has to use as ansible_python_interpreter.

    Args:
        environment: variables that the modules find in their environment.
    """
    handle, path = tempfile.mkstemp(dir=start(), prefix="python-")
    with open(handle, "w", encoding="utf-8") as program:
        program.write(PROGRAM.replace("ENVIRONMENT = {}", f"ENVIRONMENT = {environment!r}"))
    os.chmod(path, 0o700)
    return path


def serve(path: str) -> None:
    """Starts a child for each program that connects."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        print("ready", flush=True)
        gc.freeze()  # or the children would copy all pages that the garbage collector looks at
        children: set[int] = set()
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            link = server.accept()[0]
            pid = os.fork()
            if not pid:
                server.close()
                answer(link)
            link.close()
            children = {one for one in (*children, pid) if not os.waitpid(one, os.WNOHANG)[0]}


def answer(link: socket.socket) -> None:
    """Runs the module of a connection, sends its exit status, and ends."""
    descriptors = socket.recv_fds(link, 1, 3)[1]
    arguments, environment, folder = json.loads(link.makefile().readline())
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = arguments or ["-"]
    text = Path(arguments[0]).read_text(encoding="utf-8") if arguments else sys.stdin.read()
    status = 0
    try:
        exec(compile(text, sys.argv[0], "exec"), {"__name__": "__main__"})  # noqa: S102 -- as a host's Python does
    except SystemExit as ended:
        status = int(ended.code or 0)
    # The rest of the end of a program takes longer than most modules.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    link.sendall(str(status).encode())
    os._exit(0)


if __name__ == "__main__":
    importlib.import_module("ansible.module_utils.basic")  # what is loaded here is not loaded by each module
    serve(sys.argv[1])
