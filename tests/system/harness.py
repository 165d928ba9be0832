"""Real PostgreSQL clusters and real pgcairn binaries for the tests.

Runtime   one a session: a directory under /tmp that the unprivileged user owns, copies of the binaries, the environment
Cluster   one data directory and its server
Site      one pgcairn configuration with its keys and its repositories, all of them directories

When pytest runs as root, everything below runs as PGCAIRN_TEST_USER (default postgres); else as the caller. Servers listen on
a Unix socket in a directory of their own, so no port can be taken. Whatever waits has a limit, whatever was started is
stopped. Sanitizer reports go to files (Runtime.sanitizer_reports), because an exit code may be wanted to be non-zero.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg2

REPO = pathlib.Path(__file__).resolve().parents[2]
PG_BIN = pathlib.Path(os.environ.get("PGCAIRN_TEST_PG_BIN", "/usr/lib/postgresql/15/bin"))
BINARIES = {
    "pgcairn": "pgcairn",
    "pgcairn-wal-archive": "archive_command/pgcairn-wal-archive",
    "pgcairn-wal-restore": "restore_command/pgcairn-wal-restore",
}
MB = 1024 * 1024
LEAK_CHECKER_WONDERS = r"was not suspended\. False leaks are possible\.|Unable to get registers from thread \d+\.$"
SERVER_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # nothing here survives the machine, and kill -9 keeps the page cache
    "shared_buffers": "16MB",
    "max_wal_size": "64MB",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "track_commit_timestamp": "on",
    "log_min_messages": "info",
    "timezone": "America/St_Johns",  # half an hour off, so that a lost offset shows
    "log_timezone": "UTC",
}


class Failed(AssertionError):
    """A command ended with another status than the test asked for."""


def wait_until(condition, what, timeout=60.0, step=0.05):
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"gave up after {timeout:.0f} s waiting for {what}")
        time.sleep(step)


class Runtime:
    """The directory and the environment that all clusters and sites of a session share."""

    def __init__(self, build):
        inherit_orphans()
        self.build = pathlib.Path(build)
        self.user = self._pick_user()
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="pgcairn-test-", dir="/tmp"))
        self.root.chmod(0o755)
        self.bin = self.root / "bin"
        self.sanitizer = self.root / "sanitizer"
        for directory in (self.bin, self.sanitizer, self.root / "home"):
            directory.mkdir()
        for name, place in BINARIES.items():
            if (self.build / place).exists():
                shutil.copy2(self.build / place, self.bin / name)
        self.own(self.root)
        self._templates = {}
        self._places = 0
        self._undefined = []  # what UBSan wrote to a standard error, where GCC's sends it beside ASan
        self.clusters = []  # all that may run; a place takes its own away

    @staticmethod
    def _pick_user():
        if os.geteuid() != 0:
            return None
        return pwd.getpwnam(os.environ.get("PGCAIRN_TEST_USER", "postgres"))

    def own(self, path):
        """Give path and all below it to the unprivileged user."""
        if self.user:
            subprocess.run(["chown", "-R", f"{self.user.pw_uid}:{self.user.pw_gid}", path], check=True, timeout=60)

    def make_directory(self, path, mode=0o700):
        path.mkdir(parents=True)
        path.chmod(mode)
        self.own(path)
        return path

    def environment(self, **extra):
        sanitizer = f"exitcode=99:log_path={self.sanitizer}/report"
        env = {
            "PATH": f"{self.bin}:{PG_BIN}:/usr/bin:/bin",
            "HOME": str(self.root / "home"),
            "LC_ALL": "C.UTF-8",
            "ASAN_OPTIONS": f"{sanitizer}:detect_leaks=1:strict_string_checks=1:abort_on_error=0",
            "UBSAN_OPTIONS": f"{sanitizer}:halt_on_error=1:print_stacktrace=1",
            "LSAN_OPTIONS": "exitcode=99",
        }
        env.update(extra)
        return env

    def popen(self, args, env=None, **options):
        """Start a command as the unprivileged user."""
        if self.user:
            options.update(
                user=self.user.pw_uid,
                group=self.user.pw_gid,
                extra_groups=os.getgrouplist(self.user.pw_name, self.user.pw_gid),
            )
        options.setdefault("cwd", self.root)
        return subprocess.Popen([str(a) for a in args], env=self.environment(**(env or {})), **options)

    def run(self, args, status=0, timeout=120, env=None, cwd=None, stdin_text=""):
        """Run to the end; status is the wanted exit status, a set of them, or None for any. Output is text."""
        process = self.popen(args, env, cwd=cwd or self.root, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True)
        try:
            out, err = process.communicate(stdin_text, timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise Failed(f"no end after {timeout} s: {' '.join(map(str, args))}\n{out}\n{err}") from None
        self.note_undefined(err)
        wanted = {status} if isinstance(status, int) else status
        if wanted is not None and process.returncode not in wanted:
            raise Failed(f"status {process.returncode}, wanted {wanted}: {' '.join(map(str, args))}\n{out}\n{err}")
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    def note_undefined(self, text):
        self._undefined += [line for line in text.splitlines() if "runtime error: " in line]

    def sanitizer_reports(self):
        """The reports written since the last call, as text."""
        found, self._undefined = self._undefined, []
        for path in sorted(self.sanitizer.iterdir()):
            text = path.read_text(errors="replace")
            # A process may end past a thread that hangs in a file system or is just ending itself: the leak checker says so and
            # finds nothing.
            if any(line and not re.search(LEAK_CHECKER_WONDERS, line) for line in text.splitlines()):
                found.append(text)
            path.unlink()
        return "\n".join(found)

    def template(self, segment_mb=1, checksums=True, pg_bin=PG_BIN):
        """An initialized data directory to copy: copies share the system identifier."""
        key = (segment_mb, checksums, pg_bin)
        if key not in self._templates:
            path = self.root / f"template-{len(self._templates)}"
            self.initdb(path, segment_mb, checksums, pg_bin)
            self._templates[key] = path
        return self._templates[key]

    def initdb(self, path, segment_mb, checksums, pg_bin=PG_BIN):
        """Without checksums is what initdb of that major does by itself: from 18 on it switches them on."""
        args = [pg_bin / "initdb", "-D", path, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync",
                f"--wal-segsize={segment_mb}"]
        self.run(args + (["--data-checksums"] if checksums else []))

    @contextlib.contextmanager
    def place(self, name):
        """A directory, short enough for socket names; the clusters made in it are stopped and it is removed at the end."""
        self._places += 1
        directory = self.make_directory(self.root / f"{self._places}-{re.sub('[^a-z0-9]+', '-', name.lower())[:24]}", 0o755)
        try:
            yield directory
        finally:
            self.clear(directory)

    def clear(self, directory):
        """Stop the clusters below directory and remove it; $PGCAIRN_TEST_KEEP leaves the files."""
        for cluster in [c for c in self.clusters if directory in (c.directory, *c.directory.parents)]:
            cluster.destroy()
            self.clusters.remove(cluster)
        if not os.environ.get("PGCAIRN_TEST_KEEP"):
            shutil.rmtree(directory, ignore_errors=True)

    def close(self):
        self.clear(self.root)


class Cluster:
    """One data directory and, between start() and stop(), its server, whose initdb, pg_ctl and postgres lie in pg_bin."""

    def __init__(self, runtime, directory, data=None, pg_bin=PG_BIN):
        self.runtime = runtime
        self.pg_bin = pg_bin
        self.directory = pathlib.Path(directory)
        self.data = pathlib.Path(data or self.directory / "data")
        self.log = self.directory / "server.log"
        self.port = 5432
        if not self.directory.exists():
            runtime.make_directory(self.directory, 0o755)
        runtime.clusters.append(self)

    @classmethod
    def create(cls, runtime, directory, segment_mb=1, checksums=True, fresh=False, pg_bin=PG_BIN, **settings):
        """A new cluster; fresh for a system identifier of its own, else a copy of the session's template."""
        cluster = cls(runtime, directory, pg_bin=pg_bin)
        if fresh:
            runtime.initdb(cluster.data, segment_mb, checksums, pg_bin)
        else:
            runtime.run(["cp", "-a", runtime.template(segment_mb, checksums, pg_bin), cluster.data])
        room = {"max_wal_size": f"{max(64, 4 * segment_mb)}MB"}  # the server wants at least two segments
        if segment_mb > 16:
            room["min_wal_size"] = f"{2 * segment_mb}MB"
        cluster.configure(**{**SERVER_SETTINGS, **room, **settings})
        return cluster

    def standby(self, directory):
        """A standby of this stopped cluster, made of a copy of its files, that will stream from it; not started."""
        other = Cluster(self.runtime, directory, pg_bin=self.pg_bin)
        self.runtime.run(["cp", "-a", self.data, other.data])
        (other.data / "standby.signal").touch()
        self.runtime.own(other.data)
        other.configure(primary_conninfo=self.conninfo)
        return other

    def configure(self, **settings):
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            for name, value in settings.items():
                conf.write("%s = '%s'\n" % (name, str(value).replace("'", "''")))

    @property
    def conninfo(self):
        return f"host={self.directory} port={self.port} user=postgres"

    @property
    def pid(self):
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def pg_ctl(self, *args, status=0, timeout=120):
        return self.runtime.run([self.pg_bin / "pg_ctl", "-D", self.data, *args], status=status, timeout=timeout)

    def start(self, status=0, timeout=60):
        """Start the server and wait until it answers; status={1} for one that must not come up."""
        return self.pg_ctl("start", "-w", "-t", str(timeout), "-l", self.log, "-o", f"-p {self.port} -k {self.directory}",
                           status=status, timeout=timeout + 30)

    def start_without_waiting(self):
        return self.pg_ctl("start", "-W", "-l", self.log, "-o", f"-p {self.port} -k {self.directory}")

    def stop(self, mode="fast"):
        return self.pg_ctl("stop", "-w", "-m", mode)

    def kill9(self):
        """End postmaster and children as a crash does."""
        victims = [self.pid, *children_of(self.pid)]
        for victim in victims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not any(alive(v) for v in victims), "the killed server to be gone")

    def running(self):
        return self.pid is not None and alive(self.pid)

    def destroy(self):
        if self.running():
            self.pg_ctl("stop", "-w", "-t", "20", "-m", "immediate", status=None)
        if self.running():
            self.kill9()
        self.runtime.note_undefined(self.log_text())

    def connect(self, dbname="postgres"):
        connection = psycopg2.connect(host=str(self.directory), port=self.port, user="postgres", dbname=dbname,
                                      connect_timeout=10, options="-c statement_timeout=60s")
        connection.autocommit = True
        return connection

    def sql(self, query, *args, dbname="postgres"):
        """Run one statement in a transaction of its own; its rows, or None where it has none."""
        connection = self.connect(dbname)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, args or None)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def value(self, query, *args, dbname="postgres"):
        return self.sql(query, *args, dbname=dbname)[0][0]

    def pgbench(self, *args, timeout=120):
        return self.runtime.run([PG_BIN / "pgbench", "-h", self.directory, "-p", self.port, "-U", "postgres", *args,
                                 "postgres"], timeout=timeout)

    def switch_wal(self):
        """Close the current segment; its name. Closes one even when nothing was written since the last switch."""
        return self.sql("SELECT pg_logical_emit_message(false, 'switch', 'x'), pg_walfile_name(pg_switch_wal() - 1)")[0][1]

    def wait_archived(self, segment, timeout=60):
        """Until archive_command has answered 0 for segment."""
        done = self.data / "pg_wal/archive_status" / f"{segment}.done"
        query = "SELECT last_archived_wal FROM pg_stat_archiver"
        def archived():
            return done.exists() or (self.value(query) or "")[:24] >= segment
        try:
            return wait_until(archived, f"{segment} to be archived", timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_text()[-3000:]}") from None

    def archive_now(self):
        segment = self.switch_wal()
        self.wait_archived(segment)
        return segment

    def wait_promoted(self, timeout=60):
        wait_until(lambda: not self.value("SELECT pg_is_in_recovery()"), "the end of recovery", timeout)

    def wait_paused(self, timeout=60):
        wait_until(lambda: self.value("SELECT pg_get_wal_replay_pause_state()") == "paused", "recovery to pause", timeout)

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def stat_fields(pid):
    """The fields of /proc/PID/stat from the state on, or None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def children_of(parent):
    fields = {int(p): stat_fields(p) for p in os.listdir("/proc") if p.isdigit()}
    return [pid for pid, f in fields.items() if f and int(f[1]) == parent]


def alive(pid):
    """Whether the process runs. Buries it when it is ours and dead: PostgreSQL takes a zombie for a running server."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    fields = stat_fields(pid)
    return fields is not None and fields[0] != "Z"


def inherit_orphans():
    """Servers become children of this process, which can bury them: in a container process 1 may not."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1, 0, 0, 0)


def end_orphans(command):
    """End what a server that is gone has left of this command: its orphans are children of this process."""
    for pid in children_of(os.getpid()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0") == command.split():
                os.kill(pid, signal.SIGKILL)
                wait_until(lambda p=pid: not alive(p), f"'{command}' to end")


class Site:
    """One pgcairn configuration: its file, its keys, its state and its repositories."""

    def __init__(self, runtime, directory, repositories=("local",), name="main", keys=None):
        self.runtime = runtime
        self.directory = runtime.make_directory(pathlib.Path(directory), 0o755)
        self.name = name
        self.config = self.directory / "pgcairn.conf"
        self.keys = keys or self.directory / "keys"
        self.repositories = {r: self.directory / "repository" / r for r in repositories}
        self.pgdata = None
        self.conninfo = None
        self.pg_bin = PG_BIN
        self.extra = []
        self.acknowledge = "all" if len(self.repositories) > 1 else None
        for path in (self.keys, self.directory / "repository", self.directory / "state", self.directory / "run"):
            if not path.exists():
                runtime.make_directory(path)

    def cluster(self, directory="cluster", **options):
        """A new cluster whose archive_command is ours and which the configuration names; not started."""
        options.setdefault("archive_mode", "on")
        options.setdefault("archive_command", self.archive_command)
        cluster = Cluster.create(self.runtime, self.directory / directory, **options)
        self.use(cluster)
        return cluster

    def use(self, cluster):
        """Write the configuration for this cluster."""
        self.pgdata, self.conninfo, self.pg_bin = cluster.data, cluster.conninfo, cluster.pg_bin
        self.write_config()

    def config_text(self):
        lines = ["[pgcairn]", f"state-directory = {self.directory}/state", f"run-directory = {self.directory}/run", "",
                 f"[cluster:{self.name}]", f"pgdata = {self.pgdata}", f"conninfo = {self.conninfo}", ""]
        for name, path in self.repositories.items():
            lines += [f"[repository:{name}]", f"url = file://{path}", ""]
        lines += ["[keys]", f"recipients-file = {self.keys}/recipients", f"comparison-key = {self.keys}/comparison-key",
                  f"identity = {self.keys}/identity", f"signers-file = {self.keys}/signers", ""]
        if self.acknowledge:
            lines += ["[archive]", f"acknowledge = {self.acknowledge}", ""]
        return "\n".join(lines + self.extra) + "\n"

    def write_config(self, text=None):
        self.config.write_text(text if text is not None else self.config_text())
        self.runtime.own(self.config)

    def command(self, binary, *args):
        return [self.runtime.bin / binary, "--config", self.config, "--cluster", self.name, *args]

    @property
    def archive_command(self):
        return " ".join(map(str, self.command("pgcairn-wal-archive", "%p", "%f")))

    @property
    def restore_command(self):
        return " ".join(map(str, self.command("pgcairn-wal-restore", "%f", "%p")))

    def pgcairn(self, *args, status=0, timeout=180, env=None):
        """One verb, text output."""
        return self.runtime.run(self.command("pgcairn", *args), status=status, timeout=timeout, env=env)

    def json(self, *args, status=0, timeout=180):
        """One verb with --json; the decoded result."""
        result = self.pgcairn(*args, "--json", status=status, timeout=timeout)
        try:
            return json.loads(result.stdout)
        except ValueError as error:
            raise Failed(f"{args}: not JSON ({error}):\n{result.stdout}\n{result.stderr}") from None

    def synced(self, *args, binary="pgcairn"):
        """A successful run, whose standard error has the calls by which it made something durable."""
        command = ["strace", "-f", "-qq", "-y", "-e", "trace=fsync,fdatasync", *self.command(binary, *args)]
        return self.runtime.run(command, env={"ASAN_OPTIONS": "detect_leaks=0"})

    def archive(self, path, name=None, status=0, cwd=None):
        """The archive command by hand, in the data directory as the server does it."""
        args = self.command("pgcairn-wal-archive", path, pathlib.Path(path).name if name is None else name)
        return self.runtime.run(args, status=status, cwd=cwd or self.pgdata)

    def fetch(self, name, target, status=0, options=()):
        """The restore command by hand."""
        args = self.command("pgcairn-wal-restore", *options, name, target)
        return self.runtime.run(args, status=status, cwd=self.directory)

    def restore(self, *args, directory="restored", timeout=180):
        """Restore into a new directory; a Cluster that is not started, with start_command as printed."""
        target = self.runtime.make_directory(self.directory / directory, 0o755)
        result = self.json("restore", "--pgdata", target / "data", *args, timeout=timeout)
        cluster = Cluster(self.runtime, target, pg_bin=self.pg_bin)
        cluster.start_command = result["start_command"]
        return cluster

    def refuse_restore(self, *args, directory="refused", status=frozenset({1, 2, 3, 4})):
        """A restore that must fail before it touches the disk; what it said."""
        target = self.directory / directory
        result = self.pgcairn("restore", "--pgdata", target, *args, status=status)
        assert not target.exists() or not list(target.iterdir()), f"a refused restore wrote into {target}"
        return result.stderr

    def objects(self, pattern, repository=None):
        """The repository's files that match a glob below its top, sorted; the first repository unless named."""
        top = self.repositories[repository or next(iter(self.repositories))]
        return sorted(p for p in top.glob(pattern) if p.is_file())

    def segment_object(self, name, repository=None):
        found = self.objects(f"clusters/{self.name}/wal/*/*/*/{name}", repository)
        assert len(found) == 1, f"objects of {name}: {found}"
        return found[0]

    def info(self, repository=None):
        """What info says of one repository, the first unless named."""
        repositories = self.json("info")["repositories"]
        wanted = repository or next(iter(self.repositories))
        return next(r for r in repositories if r["name"] == wanted)


def flip_bit(path, offset):
    """Change one bit in the middle of a file; a negative offset counts from the end."""
    mode = path.stat().st_mode
    path.chmod(0o600)
    with open(path, "r+b") as file:
        file.seek(offset, os.SEEK_SET if offset >= 0 else os.SEEK_END)
        place = file.tell()
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 0x10]))
    path.chmod(mode & 0o7777)
