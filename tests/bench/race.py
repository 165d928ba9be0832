"""The race: pgcairn against pgBackRest at the same work, on the same data, in one run. Called by run.sh race.

The contestants take turns, in an order that moves on by one each round, so that what else happens on the machine hits all
alike. A figure is the median of its runs. Every limit is the larger of the named figure and FLOOR times what dd with fsync
takes in the same run to write as many bytes: below that no program can get.
"""

import dataclasses
import os
import pathlib
import statistics
import sys
import time

from race_site import MIB, Pgbackrest, Pgcairn, Site

STARTS = 200
FLOOR = 1.15


@dataclasses.dataclass(frozen=True)
class Size:
    scale: int  # pgbench's: 14 MB each
    noise_mb: int
    rounds: int
    segments: int  # of each kind


SIZES = {
    "full": Size(scale=70, noise_mb=1024, rounds=5, segments=7),
    "small": Size(scale=4, noise_mb=32, rounds=2, segments=2),  # shows that it works; its figures say nothing
}


@dataclasses.dataclass
class Entry:
    """What one contestant needed for one kind of work."""
    work: str
    who: str
    runs: list = dataclasses.field(default_factory=list)  # (seconds, processor seconds, peak MiB)
    server_cpu: list = dataclasses.field(default_factory=list)
    written: list = dataclasses.field(default_factory=list)  # bytes
    versus: "Entry | None" = None
    limit: "float | None" = None  # seconds
    memory_limit: "float | None" = None  # MiB

    def median(self):
        return statistics.median(run[0] for run in self.runs)

    def rate(self):
        return statistics.median(self.written) / self.median()

    def row(self):
        seconds = sorted(run[0] for run in self.runs)
        unit, factor, digits = ("ms", 1000, 2) if seconds[0] < 0.01 else ("ms", 1000, 1) if seconds[0] < 1 else ("s", 1, 2)
        cpu = statistics.median(run[1] for run in self.runs)
        if self.server_cpu:
            cpu += statistics.median(self.server_cpu)
        peak = max(run[2] for run in self.runs)
        cells = [
            self.work, self.who, *(f"{s * factor:.{digits}f} {unit}" for s in (self.median(), seconds[0], seconds[-1])),
            f"{cpu * factor:.{digits}f} {unit}",
            f"{peak:.0f}" + (f" of {self.memory_limit:.0f}" if self.memory_limit else ""),
            f"{statistics.median(self.written) / 1e6:.1f}" if self.written else "",
            f"{self.median() / self.versus.median():.2f}" if self.versus else "",
            f"{self.limit * factor:.{digits}f} {unit}" if self.limit else "",
            f"{self.median() / self.limit:.2f}" if self.limit else "",
        ]
        return f"| {' | '.join(cells)} |"


HEAD = """\
| work | who | median | best | worst | CPU | peak MiB | written MB | of pgBackRest | limit | of the limit |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"""


def stored_bytes(path):
    if path.is_file():
        return path.stat().st_size
    return sum(p.lstat().st_size for p in path.rglob("*") if p.is_file() and not p.is_symlink())


def in_turns(rounds, contestants):
    """Every contestant once a round; each round another one begins."""
    for i in range(rounds):
        first = i % len(contestants)
        yield from contestants[first:] + contestants[:first]


def say(text):
    print(f"race: {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


class Race:
    def __init__(self, site, size, codecs=("lz4", "zstd")):
        self.site, self.size, self.entries = site, size, []
        self.pairs = [(Pgcairn(site, codec), Pgbackrest(site, codec)) for codec in codecs]
        site.contestants = [one for pair in self.pairs for one in pair]

    def entry(self, work, who):
        self.entries.append(Entry(work, who))
        return self.entries[-1]

    def pair_entries(self, work, cold=False):
        """{contestant: entry}, ours with theirs to compare with; cold: of the first codec only, to save time."""
        found = {}
        for ours, theirs in self.pairs[:1] if cold else self.pairs:
            found[ours] = self.entry(work, f"pgcairn {ours.codec}")
            found[theirs] = self.entry(work, f"pgBackRest {theirs.codec}")
            found[ours].versus = found[theirs]
        return found

    def set_up(self):
        say("making a cluster")
        self.site.make_cluster()
        self.site.fill(self.size.scale, self.size.noise_mb)
        for one in self.site.contestants:
            one.set_up()
        say("segments")
        self.images = self.site.keep_segments(self.size.segments, "-t", "2000", "postgres")
        self.site.query("create database small")
        self.site.pgbench("-i", "-s", "5", "-q", "small")
        self.site.pgbench("-n", "-c", "4", "-M", "prepared", "-t", str(200 * self.size.scale), "small")
        self.records = self.site.keep_segments(self.size.segments, "-M", "prepared", "-t", "10000", "small")
        self.site.query("drop database small")
        self.site.query("checkpoint")

    def starts(self):
        program = self.site.pgcairn / "pgcairn-wal-archive"
        config = self.pairs[0][0].config
        entry = self.entry("start: --version", "pgcairn-wal-archive")
        entry.runs, entry.limit = self.site.timed([program, "--version"], STARTS), 0.0015
        entry = self.entry("start: up to a segment that is not there", "pgcairn-wal-archive")
        entry.runs = self.site.timed([program, "--config", config, "nowhere", "000000010000000000000001"], STARTS, status=1)
        entry = self.entry("start: version", "pgbackrest")
        entry.runs = self.site.timed(["pgbackrest", "version"], STARTS)

    def archive(self, work, segments):
        """A segment is read, stored and durable; each contestant has a repository of its own."""
        dd, out = self.entry(work, "dd conv=fsync"), self.site.work / "dd.out"
        entries = self.pair_entries(work)
        for i, segment in enumerate(segments):
            for who in in_turns(1, ["dd", *entries][i % (len(entries) + 1):] + ["dd", *entries][:i % (len(entries) + 1)]):
                self.site.settle(cold=False)
                if who == "dd":
                    out.unlink(missing_ok=True)
                    dd.runs += self.site.timed(["dd", f"if={segment}", f"of={out}", "bs=1M", "conv=fsync"])
                    dd.written.append(segment.stat().st_size)
                    continue
                before = set(who.repository.rglob("*"))
                entries[who].runs += self.site.timed(who.push(segment, segment.name))
                new = [p for p in who.repository.rglob(f"{segment.name}*") if p not in before and p.is_file()]
                entries[who].written.append(sum(map(stored_bytes, new)))
        for ours, theirs in self.pairs:
            entry = entries[ours]
            floor = FLOOR * statistics.median(entry.written) / dd.rate()
            entry.limit = min(max(1.3 * dd.median(), floor), max(0.6 * entries[theirs].median(), floor))
            entry.memory_limit = 32

    def fetch(self, work, segments):
        entries = self.pair_entries(work)
        target = self.site.make_directory("fetched")
        for i, segment in enumerate(segments):
            for who in list(entries)[i % len(entries):] + list(entries)[:i % len(entries)]:
                path = target / f"{i}-{who.name}"
                self.site.settle(cold=False)
                entries[who].runs += self.site.timed(who.get(segment.name, path))
                entries[who].written.append(path.stat().st_size)
                if path.read_bytes() != segment.read_bytes():
                    raise SystemExit(f"race: {who.name} delivered another segment {segment.name}")
                path.unlink()
        target.rmdir()
        for ours, theirs in self.pairs:
            entries[ours].limit = 0.5 * entries[theirs].median()

    def plain_copies(self, work):
        """What to compare with: PostgreSQL's own program, and the stream without anybody who keeps it."""
        base = [self.site.bindir / "pg_basebackup", "-h", self.site.work, "-U", "postgres", "-X", "none", "-c", "fast"]
        target = self.site.work / "basebackup"
        return {
            "stream": (self.entry(work, "the stream to /dev/null"), [*base, "-D", "-", "-Ft"], None),
            "plain": (self.entry(work, "pg_basebackup, plain files"), [*base, "-D", target], target),
        }

    def one_backup(self, entry, command, cold, output=None):
        self.site.query("checkpoint")
        self.site.settle(cold)
        before = self.site.server_cpu()
        entry.runs += self.site.timed(command, output=output)
        entry.server_cpu.append(self.site.server_cpu() - before)

    def backup(self, cold, dd):
        work = f"full backup, {'cold' if cold else 'warm'}"
        entries = self.pair_entries(work, cold)
        copies = {} if cold else self.plain_copies(work)
        with open(os.devnull, "wb") as null:
            for who in in_turns(self.size.rounds, ["dd", *copies, *entries]):
                say(f"{work}: {getattr(who, 'name', who)}")
                if who == "dd":
                    self.site.measure_disk(dd)
                elif who in copies:
                    entry, command, target = copies[who]
                    self.one_backup(entry, command, cold, null)
                    if target:
                        entry.written.append(stored_bytes(target))
                        self.site.remove(target)
                else:
                    self.site.archive_to(who.name)
                    self.one_backup(entries[who], who.backup(), cold)
                    self.site.archive_to("drop")
                    entries[who].written.append(stored_bytes(who.backups()[-1]))
                    who.drop_older_backups()
        self.set_limits(entries, dd, memory=256)

    def restore(self, cold, dd):
        entries = self.pair_entries(f"full restore, {'cold' if cold else 'warm'}", cold)
        target = self.site.work / "restored"
        sizes = {}
        for who in in_turns(self.size.rounds, list(entries)):
            say(f"{entries[who].work}: {who.name}")
            self.site.make_directory(target.name)
            self.site.settle(cold)
            entries[who].runs += self.site.timed(who.restore(target))
            entries[who].written.append(stored_bytes(target))
            sizes[who] = stored_bytes(target / "base")
            self.site.remove(target)
        if max(sizes.values()) - min(sizes.values()) > MIB:
            raise SystemExit(f"race: the restored databases differ in size: {sorted(sizes.values())}")
        self.set_limits(entries, dd, memory=256)

    def set_limits(self, entries, dd, memory):
        for ours, theirs in self.pairs:
            if ours not in entries:
                continue
            entry = entries[ours]
            entry.limit = max(0.6 * entries[theirs].median(), FLOOR * statistics.median(entry.written) / dd.rate())
            entry.memory_limit = memory

    def large_segments(self):
        """Memory may not grow with the segment."""
        say("a segment of 1 GB")
        site, pgdata = self.site, self.site.work / "pg-1g"
        site.server("stop")
        site.make_server(pgdata, f"cp %p {site.work}/segments/%f", "--wal-segsize=1024")
        ours = Pgcairn(site, "lz4")
        ours.name, ours.config, ours.repository = "large", site.work / "large.conf", site.work / "large"
        ours.set_up(pgdata)
        site.pgbench("-i", "-s", str(min(self.size.scale, 40)), "-q", "postgres")
        name = site.query("select pg_walfile_name(pg_switch_wal())")
        site.server("stop", pgdata)
        entry = self.entry("archive, a segment of 1 GB", "pgcairn lz4")
        entry.runs, entry.memory_limit = site.timed(ours.push(site.work / "segments" / name, name)), 32

    def run(self):
        self.set_up()
        try:
            self.measure()
        finally:
            self.print_table()

    def measure(self):
        say("start, archive, fetch")
        self.starts()
        self.archive("archive 16 MiB, full page images", self.images)
        self.archive("archive 16 MiB, small records", self.records)
        self.fetch("fetch 16 MiB, full page images", self.images)
        self.fetch("fetch 16 MiB, small records", self.records)
        dd = self.entry("the disk", "dd conv=fsync of 1 GiB")
        as_root = os.geteuid() == 0
        for cold in (False, True) if as_root else (False,):
            self.backup(cold, dd)
        for cold in (False, True) if as_root else (False,):
            self.restore(cold, dd)
        self.large_segments()

    def print_table(self):
        print(HEAD)
        for entry in self.entries:
            print(entry.row())


def main(size, work, bindir, pgcairn, timer):
    Race(Site(work, bindir, pgcairn, timer), SIZES[size]).run()


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    main(*sys.argv[1:])
