"""What archiving costs a busy primary that has two repositories. Called by run.sh primary.

One cluster, pgbench's own load. Each round measures, in turns, nobody's archiving (archive_command = '/bin/true'), pgcairn with its
agent and pgBackRest asynchronous with two processes: at 70 % of the peak rate, and at the peak. What is lost is told against nobody in
the same round; keeping up is told by the segments that wait at the end.
"""

import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import time

from race import in_turns, say
from race_site import Pgbackrest, Pgcairn, Site

SIZES = {"full": (70, 3, 30), "small": (4, 1, 3)}  # pgbench's scale, rounds, seconds of one run
CLIENTS = ("-c", "8", "-j", "2", "-M", "prepared")


class TwoOfOurs(Pgcairn):
    def set_up(self, pgdata=None):
        self.site.make_directory(f"{self.name}-2")
        super().set_up(pgdata)

    def extra(self):
        return f"[repository:second]\nurl = file://{self.site.work}/{self.name}-2\n[archive]\nacknowledge = all\n"


class TwoOfTheirs(Pgbackrest):
    def extra(self):
        work = self.site.work
        return (f"archive-async=y\nrepo2-path={work}/{self.name}-2\nrepo2-cipher-type=aes-256-cbc\n"
                f"repo2-cipher-pass=another passphrase\nrepo2-retention-full=1\n")


class Primary:
    def __init__(self, site, scale, rounds, seconds):
        self.site, self.scale, self.rounds, self.seconds = site, scale, rounds, seconds
        self.ours, self.theirs = TwoOfOurs(site, "lz4"), TwoOfTheirs(site, "lz4")
        site.contestants = [self.ours, self.theirs]
        self.rates = {}  # (share, who) -> [transactions a second]
        self.waiting = {}  # the same -> [segments]
        self.agent = None

    def set_up(self):
        say("a cluster")
        self.site.make_cluster()
        self.site.query("alter system set synchronous_commit = on")
        self.site.query("select pg_reload_conf()")
        self.site.pgbench("-i", "-s", str(self.scale), "-q", "postgres")
        for one in self.site.contestants:
            one.set_up()
        self.agent = self.ours.start_agent()

    def ready(self):
        return len(list((self.site.pgdata / "pg_wal/archive_status").glob("*.ready")))

    def drain(self):
        end = time.monotonic() + 300
        while self.ready() > 0:
            if time.monotonic() > end:
                raise SystemExit("primary: the backlog does not go away")
            self.site.query("select pg_reload_conf()")
            time.sleep(0.2)

    def load(self, *words):
        """Transactions a second."""
        out = self.site.run(self.site.bindir / "pgbench", "-h", self.site.work, "-U", "postgres", "-n", "-T", str(self.seconds),
                            *CLIENTS, *words, "postgres", output=subprocess.PIPE).stdout.decode()
        return float(re.search(r"^tps = ([0-9.]+)", out, re.M).group(1))

    def measure(self, share, who, rate):
        self.site.query("checkpoint")
        self.site.settle(cold=False)
        self.site.archive_to(getattr(who, "name", "drop"))
        tps = self.load(*(["-R", f"{rate:.0f}"] if rate else []))
        self.waiting.setdefault((share, who), []).append(self.ready())
        self.rates.setdefault((share, who), []).append(tps)
        self.drain()
        self.site.archive_to("drop")

    def run(self):
        self.set_up()
        try:
            say("the peak")
            self.load()
            peak = statistics.median(self.load() for _ in range(3))
            for who in in_turns(self.rounds, [None, self.ours, self.theirs]):
                for share, rate in (("70 %", 0.7 * peak), ("peak", None)):
                    say(f"{share}: {getattr(who, 'name', 'nobody')}")
                    self.measure(share, who, rate)
        finally:
            self.print_table()
            self.agent.send_signal(signal.SIGTERM)
            self.agent.wait(60)

    def lost(self, share, who):
        """The median over the rounds of the part of nobody's rate that is missing."""
        return statistics.median(1 - ours / nobody for ours, nobody in zip(self.rates[share, who], self.rates[share, None]))

    def print_table(self):
        print("| load | who | transactions/s | best | worst | lost | segments waiting at the end |")
        print("|---|---|---:|---:|---:|---:|---:|")
        for share in ("70 %", "peak"):
            for who, name in ((None, "nobody"), (self.ours, "pgcairn agent"), (self.theirs, "pgBackRest async")):
                if len(self.rates.get((share, who), [])) == 0 or (share, None) not in self.rates:
                    continue
                rates = sorted(self.rates[share, who])
                lost = "" if who is None else f"{100 * self.lost(share, who):.1f} %"
                waiting = "" if who is None else ", ".join(map(str, self.waiting[share, who]))
                print(f"| {share} | {name} | {statistics.median(rates):.0f} | {rates[-1]:.0f} | {rates[0]:.0f} | {lost} | {waiting} |")
        if self.agent is not None:
            print(f"\nThe agent's peak memory: {self.site.usage(self.agent.pid)[1]:.0f} MiB")


def main(size, work, bindir, pgcairn, timer):
    Primary(Site(work, bindir, pgcairn, timer), *SIZES[size]).run()


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).parent))
    os.environ.setdefault("LC_ALL", "C")
    main(*sys.argv[1:])
