# SPDX-License-Identifier: GPL-3.0-or-later
"""Start and restart two units of one image in turn; print the seconds until each gives a good answer.

service_seconds.py ROUNDS SERVICES    SERVICES: JSON list of {name, port, probe, script, query}
                                      probe: redis, http or fastcgi; script and query: for the FastCGI request

bench-NAME-plain and bench-NAME-stateful are units of the same container with the same port, so only one runs at a time.
A start and a restart are measured from the call of systemctl to the first good answer. During a restart, no request is
sent before the old process has ended: a request that waits for the old process would be part of the dump.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import Any

# Seconds between two requests: a busy loop would take the only processor from the service.
PAUSE = 0.05
PATIENCE = 300


def exchange(port: int, request: bytes) -> bytes:
    """Send a request and read until the other side closes the connection, or until the first answer to PING."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
            if request.startswith(b"PING"):
                break
        return answer


def ask_redis(service: dict[str, Any]) -> bool:
    return exchange(service["port"], b"PING\r\n").startswith(b"+PONG")


def ask_http(service: dict[str, Any]) -> bool:
    return exchange(service["port"], b"GET / HTTP/1.0\r\n\r\n").split(b" ", 2)[1:2] == [b"200"]


def record(kind: int, content: bytes) -> bytes:
    """Return a FastCGI record of request 1."""
    return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content


def ask_fastcgi(service: dict[str, Any]) -> bool:
    """Send a GET of the script; return whether the answer has no error status."""
    script = service["script"]
    values = {
        "SCRIPT_FILENAME": script,
        "SCRIPT_NAME": "/" + script.rpartition("/")[2],
        "REQUEST_METHOD": "GET",
        "REQUEST_URI": f"/{script.rpartition('/')[2]}?{service.get('query', '')}",
        "QUERY_STRING": service.get("query", ""),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
    }
    pairs = b""
    for name, value in values.items():
        pairs += struct.pack("!BI", len(name), len(value) | 1 << 31) + name.encode() + value.encode()
    begin = struct.pack("!HB5x", 1, 0)
    answer = exchange(service["port"], record(1, begin) + record(4, pairs) + record(4, b"") + record(5, b""))
    output = b""
    while len(answer) >= 8:
        dummy_version, kind, dummy_id, length, padding = struct.unpack("!BBHHB", answer[:7])
        if kind == 6:
            output += answer[8 : 8 + length]
        answer = answer[8 + length + padding :]
    head = output.partition(b"\r\n\r\n")[0]
    return bool(output) and (b"Status:" not in head or b"Status: 200" in head)


PROBES = {"redis": ask_redis, "http": ask_http, "fastcgi": ask_fastcgi}


def answers(service: dict[str, Any]) -> bool:
    try:
        return PROBES[service["probe"]](service)
    except (OSError, struct.error):
        return False


def wait_for_answer(service: dict[str, Any]) -> float:
    """Return the time of the first good answer."""
    until = time.monotonic() + PATIENCE
    while not answers(service):
        if time.monotonic() > until:
            raise SystemExit(f"{service['name']} gave no good answer within {PATIENCE} s")
        time.sleep(PAUSE)
    return time.monotonic()


def systemctl(verb: str, unit: str) -> None:
    subprocess.run(["systemctl", verb, unit], check=True)


def start(service: dict[str, Any], unit: str) -> float:
    """Return the seconds from the call to the first good answer."""
    began = time.monotonic()
    caller = threading.Thread(target=systemctl, args=("start", unit))
    caller.start()
    answered = wait_for_answer(service)
    caller.join()
    return answered - began


def main_pid(unit: str) -> str:
    """Return the first process of the unit's container, which has the name of the unit."""
    argv = ["podman", "container", "inspect", "--format={{.State.Pid}}", unit]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def restart(service: dict[str, Any], unit: str) -> float:
    """Return the seconds from the call to the first good answer after the end of the old process."""
    old = f"/proc/{main_pid(unit)}"
    began = time.monotonic()
    caller = threading.Thread(target=systemctl, args=("restart", unit))
    caller.start()
    while os.path.exists(old):
        time.sleep(PAUSE)
    answered = wait_for_answer(service)
    caller.join()
    return answered - began


def action_of(unit: str) -> dict[str, Any]:
    """Return the record of the last start or stop of a stateful unit."""
    with open(f"/var/lib/criu-hosts/units/{unit}/last.json", encoding="utf-8") as handle:
        return json.load(handle)


def measure(service: dict[str, Any], rounds: int) -> dict[str, Any]:
    """Run all rounds of one service; both units are stopped before and after."""
    plain, stateful = (f"bench-{service['name']}-{kind}" for kind in ("plain", "stateful"))
    found: dict[str, Any] = {
        key: [] for key in ("cold_start", "restore", "plain_restart", "stateful_restart", "actions", "bytes")
    }
    # The first start of the stateful unit is a cold one; its stop makes the first checkpoint.
    start(service, stateful)
    systemctl("stop", stateful)
    for dummy in range(rounds):
        found["cold_start"].append(start(service, plain))
        found["plain_restart"].append(restart(service, plain))
        systemctl("stop", plain)
        found["restore"].append(start(service, stateful))
        found["actions"].append(action_of(stateful)["action"])
        found["stateful_restart"].append(restart(service, stateful))
        found["actions"].append(action_of(stateful)["action"])
        systemctl("stop", stateful)
        found["bytes"].append(action_of(stateful)["size_bytes"])
    return found


def main() -> None:
    rounds, services = int(sys.argv[1]), json.loads(sys.argv[2])
    print(json.dumps({service["name"]: measure(service, rounds) for service in services}))


if __name__ == "__main__":
    main()
