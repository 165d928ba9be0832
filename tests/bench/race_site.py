"""What the race runs on: a PostgreSQL cluster, and a configuration of each contestant that archives, backs up and restores it.

Everything lies below one directory on one file system. Run as root, servers and contestants run as user postgres.
"""

import os
import pathlib
import pwd
import shutil
import subprocess
import time

MIB = 1 << 20
PASSPHRASE = "a passphrase for a benchmark and nothing else"


class Site:
    def __init__(self, work, bindir, pgcairn, timer):
        self.work, self.bindir, self.timer = pathlib.Path(work), pathlib.Path(bindir), pathlib.Path(timer)
        self.pgcairn = pathlib.Path(pgcairn)
        self.pgdata = self.work / "pg"
        self.log = open(self.work / "race.log", "ab")
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.own(self.work)

    def own(self, path):
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def make_directory(self, name):
        path = self.work / name
        path.mkdir(mode=0o700)
        self.own(path)
        return path

    def who(self):
        """For subprocess: the server's user."""
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}

    def run(self, *command, output=None, check=True):
        """A command as the server's user, from PGDATA's parent; what it says goes to the log."""
        done = subprocess.run([str(word) for word in command], cwd=self.work, stdin=subprocess.DEVNULL, stdout=output or self.log,
                              stderr=self.log, check=False, env={**os.environ, "HOME": str(self.work)}, **self.who())
        if check and done.returncode != 0:
            raise SystemExit(f"race: status {done.returncode} of: {' '.join(map(str, command))}; see {self.log.name}")
        return done

    def remove(self, path):
        shutil.rmtree(path, ignore_errors=True)

    # PostgreSQL

    def server(self, word, pgdata=None, *options):
        self.run(self.bindir / "pg_ctl", "-D", pgdata or self.pgdata, "-l", self.work / "server.log", "-w", word, *options)

    def query(self, text):
        return self.run(self.bindir / "psql", "-h", self.work, "-U", "postgres", "-AXqtc", text, "postgres",
                        output=subprocess.PIPE).stdout.decode().strip()

    def pgbench(self, *words):
        self.run(self.bindir / "pgbench", "-h", self.work, "-U", "postgres", *words)

    def make_server(self, pgdata, archive_command, *initdb):
        self.run(self.bindir / "initdb", "-D", pgdata, "--auth=trust", "-U", "postgres", "--data-checksums", "--no-sync", *initdb)
        settings = {
            "listen_addresses": "", "unix_socket_directories": self.work, "wal_level": "replica", "archive_mode": "on",
            "archive_command": archive_command, "synchronous_commit": "off", "max_wal_size": "16GB",
            "checkpoint_timeout": "1h", "autovacuum": "off", "shared_buffers": "512MB", "log_checkpoints": "off",
        }
        with open(pgdata / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        self.server("start", pgdata)

    def make_cluster(self):
        """The archiver obeys a file, so that a contestant's repository gets the WAL of its own backups and no other."""
        script = self.work / "archive-to-pgcairn-or-pgbackrest.sh"  # pgBackRest insists on its name
        script.write_text(
            "#!/bin/sh\n"
            f"case $(cat {self.work}/archiver) in\n"
            "drop) ;;\n"
            f"keep) cp \"$1\" {self.work}/segments/\"$2\" ;;\n"
            + "".join(f"{c.name}) exec {' '.join(map(str, c.push('$1', '$2')))} ;;\n" for c in self.contestants)
            + "esac\n", encoding="utf-8")
        self.make_directory("segments")
        self.archive_to("drop")
        self.make_server(self.pgdata, f"sh {script} %p %f")

    def archive_to(self, what):
        temporary = self.work / "archiver.new"
        temporary.write_text(f"{what}\n", encoding="ascii")
        temporary.rename(self.work / "archiver")

    def fill(self, scale, noise_mb):
        """Half of it compresses as pgbench's rows do, half of it not at all."""
        self.pgbench("-i", "-s", str(scale), "-q", "postgres")
        self.query("create extension pgcrypto")
        self.query("create table noise (id int, bytes bytea)")
        self.query("alter table noise alter bytes set storage external")
        blob = " || ".join(["gen_random_bytes(1024)"] * 8)
        self.query(f"insert into noise select i, {blob} from generate_series(1, {noise_mb * 128}) i")
        self.query("vacuum")
        self.query("checkpoint")

    def keep_segments(self, count, *pgbench):
        """Segments that a load fills, as the archiver would be given them."""
        kept = self.work / "segments"
        before = {path.name for path in kept.iterdir()}
        self.query("select pg_switch_wal()")
        time.sleep(0.5)
        self.archive_to("keep")
        while len(new := sorted({p.name for p in kept.iterdir() if len(p.name) == 24} - before)) < count + 1:
            self.pgbench("-n", "-c", "4", *pgbench)
        self.archive_to("drop")
        time.sleep(0.5)  # a copy may be under way
        return [kept / name for name in new[1:count + 1]]  # the first may hold other things

    # measuring

    def settle(self, cold):
        """Nothing of an earlier run is still to be written; cold: nothing is in the page cache either."""
        os.sync()
        if cold:
            pathlib.Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")

    def measure_disk(self, entry):
        """One more run of what dd with fsync takes for bytes that nobody can compress."""
        source, out = self.work / "dd.in", self.work / "dd.out"
        if not source.exists():
            with open("/dev/urandom", "rb") as random, open(source, "wb") as file:
                for _ in range(1024):
                    file.write(random.read(MIB))
            self.own(source)
        out.unlink(missing_ok=True)
        self.settle(cold=False)
        entry.runs += self.timed(["dd", f"if={source}", f"of={out}", "bs=1M", "conv=fsync"])
        entry.written.append(source.stat().st_size)
        out.unlink()

    @staticmethod
    def usage(pid):
        """(processor seconds, peak MiB) of a process that runs."""
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), peak / 1024

    def server_cpu(self):
        """Seconds that ended server processes took."""
        pid = (self.pgdata / "postmaster.pid").read_text(encoding="ascii").split()[0]
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")

    def timed(self, command, runs=1, output=None, status=0):
        """[(seconds, processor seconds, peak MiB)], one a run."""
        result = self.work / "timer.result"
        result.unlink(missing_ok=True)
        self.run(self.timer, result, runs, *command, output=output)
        measured = []
        for line in result.read_text(encoding="ascii").splitlines():
            code, wall, user, system, peak = map(int, line.split())
            if code != status:
                raise SystemExit(f"race: status {code} of: {' '.join(map(str, command))}; see {self.log.name}")
            measured.append((wall / 1e6, (user + system) / 1e6, peak / 1024))
        return measured


class Pgcairn:
    def __init__(self, site, codec):
        self.site, self.codec, self.name = site, codec, f"pgcairn-{codec}"
        self.config = site.work / f"{self.name}.conf"
        self.repository = site.work / self.name

    def _program(self, name):
        return self.site.pgcairn / name

    def set_up(self, pgdata=None):
        keys, work = self.site.make_directory(f"{self.name}-keys"), self.site.work
        for name in (self.name, f"{self.name}-state", f"{self.name}-run"):
            self.site.make_directory(name)
        self.config.write_text(f"""
[pgcairn]
state-directory = {work}/{self.name}-state
run-directory = {work}/{self.name}-run
[cluster:race]
pgdata = {pgdata or self.site.pgdata}
conninfo = host={work} user=postgres
wal-compression = {self.codec}
backup-compression = {self.codec}
[repository:local]
url = file://{self.repository}
[keys]
recipients-file = {keys}/recipients
comparison-key = {keys}/comparison-key
identity = {keys}/identity
signers-file = {keys}/signers
{self.extra()}""", encoding="utf-8")
        self.site.run(self._program("pgcairn"), "--config", self.config, "init")

    def extra(self):
        return ""

    def start_agent(self):
        return subprocess.Popen([self._program("pgcairn"), "--config", self.config, "agent"], stdout=self.site.log,
                                stderr=self.site.log, **self.site.who())

    def push(self, path, name):
        return [self._program("pgcairn-wal-archive"), "--config", self.config, path, name]

    def get(self, name, path):
        return [self._program("pgcairn-wal-restore"), "--config", self.config, name, path]

    def backup(self):
        return [self._program("pgcairn"), "--config", self.config, "--quiet", "backup"]

    def restore(self, target):
        return [self._program("pgcairn"), "--config", self.config, "--quiet", "restore", "--pgdata", target]

    def backups(self):
        return sorted((self.repository / "clusters/race/backup").glob("*"))

    def drop_older_backups(self):
        for path in self.backups()[:-1]:
            self.site.remove(path)


class Pgbackrest:
    def __init__(self, site, codec):
        self.site, self.name = site, f"pgbackrest-{codec}"
        self.codec = "zst" if codec == "zstd" else codec
        self.config = site.work / f"{self.name}.conf"
        self.repository = site.work / self.name

    def set_up(self):
        for name in (self.name, f"{self.name}-log", f"{self.name}-lock", f"{self.name}-spool"):
            self.site.make_directory(name)
        work = self.site.work
        self.config.write_text(f"""
[global]
repo1-path={self.repository}
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass={PASSPHRASE}
repo1-retention-full=1
log-path={work}/{self.name}-log
lock-path={work}/{self.name}-lock
spool-path={work}/{self.name}-spool
log-level-console=error
log-level-file=off
compress-type={self.codec}
process-max=2
start-fast=y
expire-auto=n
{self.extra()}[race]
pg1-path={self.site.pgdata}
pg1-socket-path={work}
pg1-user=postgres
""", encoding="utf-8")
        self.site.own(self.config)
        self.config.chmod(0o600)
        self.site.run(*self._command("stanza-create"))

    def extra(self):
        return ""

    def _command(self, verb, *words):
        return ["pgbackrest", f"--config={self.config}", "--stanza=race", *words, verb]

    def push(self, path, name):
        return [*self._command("archive-push"), path]

    def get(self, name, path):
        return [*self._command("archive-get"), name, path]

    def backup(self):
        return self._command("backup", "--type=full")

    def restore(self, target):
        return self._command("restore", f"--pg1-path={target}")

    def backups(self):
        return [p for p in sorted((self.repository / "backup/race").glob("*F")) if p.is_dir() and not p.is_symlink()]

    def drop_older_backups(self):
        self.site.run(*self._command("expire"))
