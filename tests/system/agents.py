"""The agent as a process of the tests: started in the foreground, stopped or killed at the end."""

import json
import os
import signal
import socket
import struct
import subprocess

from harness import alive, wait_until

HEADER = struct.Struct("<8sHHI")
MAGIC = b"PGCAIRNA"
VERSION = 1
ARCHIVE, STATUS, WORKING, DURABLE, FAILED, ELSEWHERE, REPORT = 1, 2, 15, 16, 17, 18, 19


class Agent:
    """pgcairn agent of one site."""

    def __init__(self, site, env=None, options=()):
        self.site = site
        self.log = site.directory / "agent.log"
        self.address = site.directory / "run/agent.sock"
        with open(self.log, "ab") as log:
            self.process = site.runtime.popen(
                [site.runtime.bin / "pgcairn", "--config", site.config, *options, "agent"], env, stdout=log, stderr=log,
                start_new_session=True)

    def __enter__(self):
        self.wait_ready()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop(None)

    @property
    def pid(self):
        return self.process.pid

    def log_text(self):
        return self.log.read_text(errors="replace")

    def wait_ready(self):
        def ready():
            assert self.process.poll() is None, f"the agent ended with {self.process.returncode}\n{self.log_text()}"
            try:
                return self.status()
            except OSError:
                return None
        return wait_until(ready, "the agent to answer")

    def stop(self, status=0, sig=signal.SIGTERM, timeout=60):
        os.kill(self.pid, sig)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.site.runtime.note_undefined(self.log_text())
        assert status is None or self.process.returncode == status, f"{self.process.returncode}\n{self.log_text()}"

    def kill(self):
        self.stop(-signal.SIGKILL, signal.SIGKILL)
        assert not alive(self.pid)

    def call(self, message=STATUS, body=b"{}", version=VERSION, raw=None, timeout=30):
        """All messages that come back, until the agent hangs up: (type, object)."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout)
            s.connect(str(self.address))
            s.sendall(raw if raw is not None else HEADER.pack(MAGIC, version, message, len(body)) + body)
            data = b""
            while piece := s.recv(65536):
                data += piece
        found = []
        while data:
            magic, _, kind, size = HEADER.unpack_from(data)
            assert magic == MAGIC
            found.append((kind, json.loads(data[HEADER.size:HEADER.size + size])))
            data = data[HEADER.size + size:]
        return found

    def status(self):
        (kind, report), = self.call()
        assert kind == REPORT
        return report

    def cluster(self):
        return self.status()["clusters"][0]

    def lane(self, repository):
        return next(r for r in self.cluster()["repositories"] if r["name"] == repository)

    def wait_lane(self, repository, state):
        def is_so():
            try:
                return self.lane(repository)["state"] == state
            except OSError:  # it is executing itself anew
                return False
        wait_until(is_so, f"{repository} to be {state}")
