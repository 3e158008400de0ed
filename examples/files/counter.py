# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves the counters of its threads over HTTP and keeps them in memory only.

counter.py [PORT THREADS]
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time
from typing import Any


def count(counts: list[int], number: int) -> None:
    """Counts twice per second, without end."""
    while True:
        counts[number] += 1
        time.sleep(0.5)


def answer(connection: socket.socket, seen: dict[str, Any]) -> None:
    """Reads one request and returns the counters."""
    with connection:
        connection.settimeout(10)
        connection.recv(4096)
        body = json.dumps(seen).encode()
        head = f"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)


def end(*dummy: Any) -> None:
    """Exits at once: there is nothing to save."""
    sys.exit(0)


def main() -> None:
    """Starts the threads and serves requests."""
    # The first process of a container ignores SIGTERM if it has no handler; each stop would then wait for its time-out.
    signal.signal(signal.SIGTERM, end)
    port, threads = (int(word) for word in (sys.argv[1:] or ["8000", "4"]))
    started, visitors, counts = time.time(), 0, [0] * threads
    for number in range(threads):
        threading.Thread(target=count, args=(counts, number), daemon=True).start()
    with socket.create_server(("127.0.0.1", port)) as server:
        while True:
            connection, dummy_address = server.accept()
            visitors += 1
            try:
                answer(connection, {"started": started, "visitors": visitors, "counts": counts})
            except OSError:
                continue  # the visitor has closed the connection


if __name__ == "__main__":
    main()
