"""The race of a long recovery: one server replays the same segments, with each contestant as restore_command. See run.sh.

A copy of a cluster that was shut down cleanly recovers segments that pgbench filled behind it. A figure is what the server itself
says that redo took, from the first record to the last, with everything it waited for. In turns, medians. Also printed: the most
memory that all processes of a contestant had at one moment, sampled.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import statistics
import sys
import threading
import time

from race_site import Pgbackrest, Pgcairn, Site

REDO = re.compile(r"redo done at .* elapsed: ([0-9.]+) s")
SAMPLE_SECONDS = 0.02
LIMIT_SECONDS = 1800


@dataclasses.dataclass(frozen=True)
class Size:
    scale: int
    segments: int
    rounds: int
    codecs: tuple


SIZES = {
    "full": Size(scale=20, segments=200, rounds=5, codecs=("lz4", "zstd")),
    "small": Size(scale=2, segments=12, rounds=2, codecs=("lz4",)),  # shows that it works; its figures say nothing
}


class Alone:
    """The floor: the segments lie in pg_wal, and nothing is fetched. No program can be faster than this."""

    label, program = "the replay alone", "false"

    def __init__(self, plain):
        self.plain = plain

    def set_up(self, site):
        pass

    def push(self, _path, _name):
        return ["true"]

    def prepare(self, site, pgdata):
        site.run("cp", "-r", f"{self.plain.directory}/.", pgdata / "pg_wal")

    def get(self, _pgdata):
        return ["false"]


class Plain:
    """The limit: cp from a directory."""

    name = label = program = "cp"

    def __init__(self, site):
        self.directory = site.work / "plain"

    def set_up(self, site):
        site.make_directory(self.directory.name)

    def push(self, path, name):
        return ["cp", path, self.directory / name]

    def get(self, _pgdata):
        return ["cp", f"{self.directory}/%f", "%p"]


class Ours(Pgcairn):
    program = "pgcairn-wal-restore"

    def __init__(self, site, codec, prefetch):
        super().__init__(site, codec)
        self.prefetch = prefetch
        self.label = f"pgcairn {codec}{'' if prefetch else ', without prefetch'}"

    def set_up(self, site):
        if self.prefetch:
            super().set_up()
        # of the same repository, by another configuration
        self.own = self.config.with_suffix(".own") if self.prefetch else self.config.with_suffix(".direct")
        room = "256MB" if self.prefetch else "0"
        self.own.write_text(f"{self.config.read_text(encoding='utf-8')}[restore]\nprefetch = {room}\n", encoding="utf-8")

    def get(self, _pgdata):
        return [self._program("pgcairn-wal-restore"), "--config", self.own, "%f", "%p"]


class Theirs(Pgbackrest):
    program = "pgbackrest"

    def __init__(self, site, codec):
        super().__init__(site, codec)
        self.peer_of, self.label = codec, f"pgBackRest {self.codec}, asynchronous"

    def set_up(self, _site):
        super().set_up()

    def get(self, pgdata):
        options = (f"--pg1-path={pgdata}", "--archive-async", "--archive-get-queue-max=256MiB")
        return [*self._command("archive-get", *options), "%f", "%p"]


class Memory(threading.Thread):
    """What all processes of one program hold at one moment, at most; shared pages are counted in part (Pss)."""

    def __init__(self, program):
        super().__init__(daemon=True)
        self.program, self.peak, self.ended = program[:15], 0, threading.Event()

    def now(self):
        total = 0
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                if (process / "comm").read_text(encoding="ascii").strip() == self.program:
                    text = (process / "smaps_rollup").read_text(encoding="ascii")
                    total += int(re.search(r"^Pss: +(\d+)", text, re.MULTILINE)[1])
        return total

    def run(self):
        while not self.ended.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, self.now())

    def end(self):
        self.ended.set()
        self.join()
        return self.peak / 1024


def say(text):
    print(f"replay: {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Replay:
    def __init__(self, site, size):
        self.site, self.size = site, size
        self.base, self.copy = site.work / "pg-base", site.work / "pg-copy"
        self.plain = Plain(site)
        self.contestants = [Alone(self.plain), self.plain]
        for codec in size.codecs:
            ours = Ours(site, codec, True)
            direct = Ours(site, codec, False)
            direct.config, direct.repository = ours.config, ours.repository
            self.contestants += [ours, direct, Theirs(site, codec)]
        self.seconds = {c: [] for c in self.contestants}
        self.memory = {c: [] for c in self.contestants}
        site.contestants = []

    def set_up(self):
        say("making a cluster")
        site = self.site
        site.make_cluster()
        site.pgbench("-i", "-s", str(self.size.scale), "-q", "postgres")
        for one in self.contestants:
            one.set_up(site)
        site.server("stop")
        site.run("cp", "-a", site.pgdata, self.base)
        site.archive_to("keep")
        site.server("start")
        say("segments")
        kept = site.work / "segments"
        while len(names := sorted(p.name for p in kept.iterdir() if len(p.name) == 24)) < self.size.segments:
            site.pgbench("-n", "-c", "4", "-M", "prepared", "-t", "5000", "postgres")
        site.server("stop")
        for name in names[:self.size.segments]:
            for one in self.contestants:
                if getattr(one, "prefetch", True):
                    site.run(*one.push(kept / name, name))
        site.remove(kept)

    def replay(self, one):
        site, log = self.site, self.site.work / "replay.log"
        site.run("cp", "-a", self.base, self.copy)
        if isinstance(one, Alone):
            one.prepare(site, self.copy)
        command = " ".join(map(str, one.get(self.copy)))
        settings = {"restore_command": command, "archive_mode": "off", "recovery_target_timeline": "current",
                    "unix_socket_directories": site.work, "log_min_messages": "warning"}
        with open(self.copy / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        (self.copy / "recovery.signal").touch()
        site.own(self.copy / "recovery.signal")
        site.settle(cold=False)
        log.unlink(missing_ok=True)
        memory = Memory(one.program)
        memory.start()
        site.run(site.bindir / "pg_ctl", "-D", self.copy, "-l", log, "-w", "start")
        redo, until = None, time.monotonic() + LIMIT_SECONDS
        while not redo and time.monotonic() < until:
            time.sleep(0.1)
            redo = REDO.search(text := log.read_text(encoding="utf-8", errors="replace"))
        self.memory[one].append(memory.end())
        site.run(site.bindir / "pg_ctl", "-D", self.copy, "-m", "immediate", "-w", "stop")
        site.remove(self.copy)
        if not redo:
            raise SystemExit(f"replay: {one.label} brought no recovery to its end:\n{text[-2000:]}")
        self.seconds[one].append(float(redo[1]))
        return redo[0]

    def run(self):
        self.set_up()
        ends = set()
        for i in range(self.size.rounds):
            order = self.contestants[i % len(self.contestants):] + self.contestants[:i % len(self.contestants)]
            for one in order:
                end = self.replay(one)
                ends.add(end.split()[3])
                say(f"round {i + 1}: {one.label}: {self.seconds[one][-1]:.2f} s")
        if len(ends) != 1:
            raise SystemExit(f"replay: not all ended at one place: {sorted(ends)}")
        self.print_table()

    def print_table(self):
        median = {one: statistics.median(self.seconds[one]) for one in self.contestants}
        alone, plain = (median.get(one) for one in (self.contestants[0], self.plain))
        print(f"| recovery of {self.size.segments} segments | median | best | worst | of the replay alone | of cp | of pgBackRest | peak MiB |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|")
        for one in self.contestants:
            peer = next((median[c] for c in self.contestants if isinstance(c, Theirs) and isinstance(one, Ours)
                         and c.peer_of == one.codec), None)
            cells = [one.label, *(f"{s:.2f} s" for s in (median[one], min(self.seconds[one]), max(self.seconds[one]))),
                     f"{median[one] / alone:.2f}", f"{median[one] / plain:.2f}", f"{median[one] / peer:.2f}" if peer else "", f"{max(self.memory[one]):.0f}"]
            print(f"| {' | '.join(cells)} |")


def main(size, work, bindir, pgcairn, timer):
    Replay(Site(work, bindir, pgcairn, timer), SIZES[size]).run()


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    os.umask(0o022)
    main(*sys.argv[1:])
