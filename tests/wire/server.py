"""A server in a temporary directory, on ports of its own, for as long as the tests run."""

import atexit
import os
import shutil
import socket
import subprocess
import tempfile


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, *flags):
        self.directory = tempfile.mkdtemp(prefix="hydron-wire-")
        self.http_port, self.tcp_port = free_port(), free_port()
        command = [os.environ["WIRE_PROGRAM"], "server", "--data-dir", os.path.join(self.directory, "data"),
                   "--http-port", str(self.http_port), "--tcp-port", str(self.tcp_port), "--rest-port", "0",
                   "--set", "logger.level=warn", *flags]
        self.log = os.path.join(self.directory, "server.log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.process.stdout.readline()
        if "ready" not in line:
            with open(self.log) as log:
                raise SystemExit(f"the server did not start: {line}{log.read()}")

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        shutil.rmtree(self.directory, ignore_errors=True)


_running = None


def running():
    """The one server of all tests."""
    global _running
    if _running is None:
        _running = Server()
        atexit.register(_running.stop)
    return _running
