"""The WAL path with the agent, against pgBackRest's asynchronous archiving, on one backlog. Called by run.sh wal.

A stopped server has as many segments to be archived as it is told; each contestant ships them all into an empty repository,
in turns, several rounds. Then each is asked, segment by segment, for what it has made durable already.
"""

import json
import pathlib
import signal
import socket
import struct
import sys
import time

from race import FLOOR, HEAD, Entry, in_turns, say, stored_bytes
from race_site import Pgbackrest, Pgcairn, Site

SIZES = {"full": (200, 5, 70), "small": (12, 2, 4)}  # segments, rounds, pgbench's scale
ANSWERS = 50


class Asynchronous(Pgbackrest):
    def extra(self):
        return "archive-async=y\n"


class Wal:
    def __init__(self, site, segments, rounds, scale):
        self.site, self.n, self.rounds, self.scale = site, segments, rounds, scale
        self.ours, self.theirs = Pgcairn(site, "lz4"), Asynchronous(site, "lz4")
        site.contestants = [self.ours, self.theirs]
        self.entries = []

    def entry(self, work, who):
        self.entries.append(Entry(work, who))
        return self.entries[-1]

    def make_backlog(self):
        say("a backlog of segments")
        self.site.make_cluster()
        self.site.fill(self.scale, 1)
        self.site.query("select pg_switch_wal()")
        time.sleep(1)
        self.site.archive_to("hold")  # a word that the script does not know: nothing is kept, all is archived
        script = self.site.work / "archive-to-pgcairn-or-pgbackrest.sh"
        script.write_text("#!/bin/sh\nexit 1\n", encoding="ascii")
        while len(self.ready()) < self.n:
            self.site.pgbench("-n", "-c", "4", "-t", "5000", "postgres")
        self.site.server("stop")
        self.names = self.ready()

    def ready(self):
        return sorted(p.name[:-6] for p in (self.site.pgdata / "pg_wal/archive_status").glob("*.ready"))

    def renew(self, who):
        """An empty repository, and nothing left of the last round."""
        for path in self.site.work.glob(f"{who.name}*"):
            if path.is_dir():
                self.site.remove(path)
            else:
                path.unlink()
        if who is self.ours:
            who.set_up()
            return
        # without a server it needs to be told so
        run, self.site.run = self.site.run, lambda *a, **k: None
        who.set_up()
        self.site.run = run
        self.site.run(*who._command("stanza-create", "--no-online"))

    def wait_for(self, condition, what, limit=900):
        end = time.monotonic() + limit
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"wal: gave up waiting for {what}")
            time.sleep(0.01)

    def spool(self):
        return self.site.work / f"{self.theirs.name}-spool/archive/race/out"

    def ship(self, entry, who):
        """Seconds until all of it is durable."""
        self.renew(who)
        self.site.settle(cold=False)
        started = time.monotonic()
        if who is self.ours:
            agent = self.ours.start_agent()
            stored = self.ours.repository / "clusters/race/wal"
            self.wait_for(lambda: sum(1 for _ in stored.glob("*/*/*/*")) >= len(self.names), "the agent")
            self.wait_for(lambda: self.durable() >= len(self.names), "the agent's word")
            took = time.monotonic() - started
            cpu, peak = self.site.usage(agent.pid)
            self.agent = agent
        else:
            self.site.run(*self.push_theirs(self.names[0]))
            self.wait_for(lambda: sum(1 for _ in self.spool().glob("*.ok")) >= len(self.names) - 1, "pgBackRest")
            took, cpu, peak = time.monotonic() - started, 0, 0
        entry.runs.append((took, cpu, peak))
        entry.written.append(stored_bytes(who.repository))

    def durable(self):
        """How many segments the agent would answer for at once."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{self.site.work}/{self.ours.name}-run/agent.sock")
            s.sendall(struct.pack("<8sHHI", b"PGCAIRNA", 1, 2, 2) + b"{}")
            data = b""
            while piece := s.recv(65536):
                data += piece
        return json.loads(data[16:])["clusters"][0]["durable"]

    def end_agent(self):
        self.agent.send_signal(signal.SIGTERM)
        self.agent.wait(60)

    def push_theirs(self, name):
        return [*self.theirs._command("archive-push"), self.site.pgdata / "pg_wal" / name]

    def backlog(self):
        dd = self.entry("the disk", "dd conv=fsync of 1 GiB")
        work = f"backlog of {len(self.names)} segments of 16 MiB"
        entries = {self.ours: self.entry(work, "pgcairn agent, lz4"), self.theirs: self.entry(work, "pgBackRest async, lz4")}
        entries[self.ours].versus = entries[self.theirs]
        answers = {self.ours: self.entry("answer for a durable segment", "pgcairn-wal-archive"),
                   self.theirs: self.entry("answer for a durable segment", "pgbackrest archive-push")}
        answers[self.ours].versus = answers[self.theirs]
        for who in in_turns(self.rounds, ["dd", self.ours, self.theirs]):
            say(f"{work}: {getattr(who, 'name', who)}")
            if who == "dd":
                self.site.measure_disk(dd)
                continue
            self.ship(entries[who], who)
            self.ask(answers[who], who)
            if who is self.ours:
                self.end_agent()
        floor = FLOOR * entries[self.ours].written[0] / dd.rate()
        entries[self.ours].limit = max(0.5 * entries[self.theirs].median(), floor)
        entries[self.ours].memory_limit = 64
        answers[self.ours].limit = min(0.0015, 0.3 * answers[self.theirs].median())

    def ask(self, entry, who):
        for name in self.names[1:ANSWERS]:
            path = self.site.pgdata / "pg_wal" / name
            entry.runs += self.site.timed(who.push(path, name) if who is self.ours else self.push_theirs(name))

    def run(self):
        self.make_backlog()
        try:
            self.backlog()
        finally:
            print(HEAD)
            for entry in self.entries:
                if entry.runs:
                    print(entry.row())


def main(size, work, bindir, pgcairn, timer):
    Wal(Site(work, bindir, pgcairn, timer), *SIZES[size]).run()


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main(*sys.argv[1:])
