# SPDX-License-Identifier: GPL-3.0-or-later
"""Increment a counter in Redis over one TCP connection that is never reopened.

Usage: client.py [--host ADDRESS] [--port PORT] [--key NAME] [--interval SECONDS] [--log FILE] [--wait SECONDS]
Each line of the log has the answer of Redis and the local port. When the connection breaks, the last line reports it
and the program ends with exit status 3.
"""

import socket
import sys
import time


def option(name, default):
    """Return the value that follows an option."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def connect(host, port, patience):
    """Connect as soon as the server listens."""
    until = time.time() + patience
    while True:
        try:
            return socket.create_connection((host, port))
        except OSError:
            if time.time() > until:
                raise
            time.sleep(0.2)


def increment(connection, key):
    """Send one INCR and return the answer."""
    connection.sendall(("*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n" % (len(key), key)).encode())
    answer = b""
    while not answer.endswith(b"\r\n"):
        part = connection.recv(256)
        if not part:
            raise OSError("closed by the server")
        answer += part
    if not answer.startswith(b":"):
        raise OSError("unexpected answer %r" % answer)
    return int(answer[1:])


def main():
    """Count until the connection breaks."""
    path = option("--log", "")
    log = open(path, "w") if path else sys.stdout
    connection = connect(option("--host", "127.0.0.1"), int(option("--port", "6379")), float(option("--wait", "30")))
    port = connection.getsockname()[1]
    try:
        while True:
            log.write("count %d port %d\n" % (increment(connection, option("--key", "counter")), port))
            log.flush()
            time.sleep(float(option("--interval", "0.2")))
    except OSError as error:
        log.write("connection lost: %s\n" % error)
        log.flush()
        return 3


if __name__ == "__main__":
    sys.exit(main())
