"""What restore_command answers, for every pair of states of two repositories, every kind of server and every kind of file.

The answers wanted are derived here from the promise, not from the program: "missing" means proven missing. A miss may be
answered only when every repository that is asked has said so itself; whoever delivers is enough to deliver; all else stops
the server, unless it is a standby's, which asks again for a segment, and promotes only when it is told to. Of a history that
is not good enough: the standby's next promotion would take the timeline a second time.
"""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import os
import shutil
import signal
import time
import types

import pytest

from ha import ABORT, other_host
from harness import Site, wait_until
from recovery import prefetchers
from states import BAD, BY_NAME, HERE, MISS, NOBODY, SILENT, STATES, Gallery, why_no_fuse

pytestmark = pytest.mark.limit(1200)
TIMELINE = "00000002.history"
NO_TIMELINE = "00000005.history"  # neither it nor the next exists
HISTORY = "1\t0/500000\tanother server's promotion\n"
WAITING = "2s"  # where half of it is waited out
HANGING = "6s"
PATIENT = "60s"
AT_ONCE = 16
STEPS = ("up", "lacks it", "truncated", "down", "lost")  # one for each thing that can be said
ALARM = "ALARM: whether "


@dataclasses.dataclass(frozen=True)
class Asker:
    """Who asks: a directory as its server's, and the configuration of its host."""

    name: str
    signal_file: str = ""
    allow: bool = False  # promote-without-archive
    seen: bool = False  # this host has seen the timeline before
    own: bool = False  # the server has the history in pg_wal

    @property
    def standby(self):
        return self.signal_file == "standby.signal"


TARGET = Asker("a recovery", "recovery.signal")
PLAIN = Asker("a server that recovers no more")  # it looks for histories behind the end of its recovery
STANDBY = Asker("a standby", "standby.signal")
ALLOWED = Asker("a standby that may", "standby.signal", allow=True)
KNOWING = Asker("a standby that may and knows", "standby.signal", allow=True, seen=True)
OWNING = Asker("a standby that has it", "standby.signal", own=True)
ASKERS = (TARGET, PLAIN, STANDBY, ALLOWED, KNOWING, OWNING)
QUESTIONS = [*(("segment", asker) for asker in (TARGET, PLAIN, STANDBY)),
             *((TIMELINE, asker) for asker in ASKERS),
             *((NO_TIMELINE, asker) for asker in (TARGET, PLAIN, STANDBY, ALLOWED))]


def wanted(words, segment, asker):
    """delivered, missing, alarm (missing without proof), or abort; from what the repositories say."""
    asked = [w for w in words if w != NOBODY]
    if not asked:
        return "abort"  # nobody is left to prove anything
    if HERE in asked:
        return "delivered"  # verified, wherever it comes from
    if all(w == MISS for w in asked):
        return "missing"  # proved
    if segment:
        return "missing" if asker.standby else "abort"  # a standby comes back for it, and a failure would stop its server
    if asker.own:
        return "missing"  # the server takes its own
    if asker.standby and asker.allow and not asker.seen and BAD not in asked:
        return "alarm"  # the operator's decision, where nothing says that the timeline is taken
    return "abort"


class World:
    """Two repositories in all their states, and directories that ask."""

    def __init__(self, runtime, place, segments, stack):
        self.runtime = runtime
        self.site = site = Site(runtime, place / "site", repositories=("near", "far"))
        site.use(segments[-1])
        site.pgcairn("init")
        self.history = runtime.make_directory(place / "raw") / TIMELINE
        self.history.write_text(HISTORY)
        self.first, self.segment = segments[0], segments[1]
        foreign = Site(runtime, place / "foreign", repositories=("near", "far"))
        foreign.use(segments[-1])
        foreign.pgcairn("init")
        for one in (site, foreign):
            for path in (self.first, self.segment, self.history):
                one.archive(path)
        self.content = {self.segment.name: self.segment.read_bytes(), TIMELINE: self.history.read_bytes()}
        self.no_fuse = why_no_fuse(runtime.make_directory(place / "fuse"))
        self.states = [s for s in STATES if not (s.fuse and self.no_fuse)]
        self.galleries = [Gallery(site, name, self.states, (self.segment.name, TIMELINE), foreign, stack)
                          for name in ("near", "far")]
        self.knowing = self._host("knowing")
        self.knowing.fetch(TIMELINE, self.knowing.directory / "fetched")
        self.ignorant = self._host("ignorant")
        self.directories = {asker: self._directory(place / f"asker-{n}", asker) for n, asker in enumerate(ASKERS)}
        self.numbers = itertools.count()

    def need(self, state):
        if state not in self.states:
            pytest.skip(f"no repository that '{state.name}' can be had here: {self.no_fuse}")

    def _host(self, name):
        """Another host that knows which repositories these are."""
        host = other_host(self.site, name)
        shutil.copytree(self.site.directory / "state/repositories", host.directory / "state/repositories")
        self.runtime.own(host.directory)
        host.use(next(c for c in self.runtime.clusters if c.data == self.site.pgdata))
        return host

    def _directory(self, data, asker):
        for folder in ("global", "pg_wal"):
            self.runtime.make_directory(data / folder)
        shutil.copy2(self.site.pgdata / "global/pg_control", data / "global/pg_control")
        if asker.signal_file:
            (data / asker.signal_file).touch()
        if asker.own:
            (data / "pg_wal" / TIMELINE).write_text(HISTORY)
        self.runtime.own(data)
        return data

    def config(self, states, knowing, allow, timeout, prefetch="0"):
        """The configuration of a host for which the repositories are in these states."""
        host = self.knowing if knowing else self.ignorant
        text = host.config_text()
        for gallery, state in zip(self.galleries, states):
            lost = "\nstate = lost" if state.name == "lost" else ""
            text = text.replace(f"url = file://{gallery.original}", f"url = file://{gallery.paths[state.name]}{lost}")
        text = text.replace("acknowledge = all", "acknowledge = 1")
        word = "allow" if allow else "refuse"
        text += f"[restore]\ntimeout = {timeout}\nprefetch = {prefetch}\npromote-without-archive = {word}\n"
        path = host.directory / f"{next(self.numbers)}.conf"
        path.write_text(text)
        self.runtime.own(path)
        return path

    def command(self, config, states, name, target):
        left_out = [w for g, s in zip(self.galleries, states) if s.name == "left out" for w in ("--without-repository", g.name)]
        command = [self.runtime.bin / "pgcairn-wal-restore", "--config", config, "--cluster", "main", *left_out, name, target]
        unreadable = [g.paths["unreadable"] for g, s in zip(self.galleries, states) if s.name == "unreadable"]
        objects = [str(o) for top in unreadable for o in top.glob(f"clusters/main/wal/**/{name}")]
        if not objects:
            return command, None
        tracer = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", *(w for o in objects for w in ("-P", o))]
        return [*tracer, "-e", "trace=pread64", "-e", "inject=pread64:error=EIO", *command], {"ASAN_OPTIONS": "detect_leaks=0"}

    def words(self, states, name):
        return [s.of_nothing() if name == NO_TIMELINE else s.says for s in states]

    def wanted(self, states, name, asker):
        return wanted(self.words(states, name), not name.endswith(".history"), asker)

    def timeout(self, states, name, asker):
        """As long as can be: this machine may be slow, and one that does not answer in time is silent."""
        if any(s.slow for s in states):
            return HANGING
        words = self.words(states, name)
        mends = SILENT in words or any(s.name == "unreadable" for s in states)
        return WAITING if name == self.segment.name and asker.standby and mends and HERE not in words else PATIENT

    def ask(self, states, name, asker):
        """One question; what was wrong with the answer, or None."""
        want = self.wanted(states, name, asker)
        timeout = self.timeout(states, name, asker)
        # a host that is given the history has seen it, and is ignorant no more
        config = self.config(states, asker.seen or want == "delivered", asker.allow, timeout)
        target = self.directories[asker] / f"pg_wal/RECOVERY{next(self.numbers)}"
        command, env = self.command(config, states, name, f"pg_wal/{target.name}")
        result = self.runtime.run(command, status=None, env=env, cwd=self.directories[asker], timeout=90)
        wrong = self.judge(states, name, want, result, target)
        target.unlink(missing_ok=True)
        config.unlink()
        where = ", ".join(f"{g.name} {s.name}" for g, s in zip(self.galleries, states))
        return wrong and f"{name} for {asker.name}, {where}: wanted {want}, {wrong}\n{result.stderr}"

    def judge(self, states, name, want, result, target):
        status = result.returncode
        if status not in {"delivered": {0}, "missing": {1}, "alarm": {1}, "abort": ABORT}[want]:
            return f"got status {status}"
        if (want == "delivered") != target.exists() or (target.exists() and target.read_bytes() != self.content[name]):
            return "something else lies at the target"
        if (want == "alarm") != (ALARM in result.stderr):
            return "an alarm that is missing or false"
        if not result.stderr.strip() and want == "abort":
            return "said nothing"
        near, far = states
        if want == "delivered" and near.loud and name != NO_TIMELINE and "repository 'near'" not in result.stderr and far.says == HERE:
            return "the damage is not reported"
        return None

    def ask_all(self, questions):
        """All of them, some at once since most of the time is waiting; fails with what was wrong."""
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(lambda q: self.ask(*q), questions))
        wrong = [w for w in found if w]
        assert not wrong, f"{len(wrong)} of {len(found)} answers are wrong:\n" + "\n".join(wrong[:20])
        assert found


@pytest.fixture(scope="module")
def world(runtime, segments, request):
    with runtime.place("matrix") as place, contextlib.ExitStack() as stack:
        made = World(runtime, place, segments, stack)
        if made.no_fuse:
            lacking = " and ".join(f"'{s.name}'" for s in STATES if s not in made.states)
            request.config.notes.append(f"the matrix of answers is without {lacking}: {made.no_fuse}")
        yield made


def named(world, what):
    return world.segment.name if what == "segment" else what


@pytest.mark.parametrize("near", [pytest.param(s, marks=pytest.mark.slow if s.slow else ()) for s in STATES], ids=lambda s: s.name)
def test_the_answer_is_what_the_promise_says(world, near, request):
    world.need(near)
    every = request.config.getoption("--all")
    chosen = [(near, far) for far in world.states if every or not far.slow and (near.name in STEPS or far.name in STEPS)]
    world.ask_all([(pair, named(world, what), asker) for pair in chosen for what, asker in QUESTIONS])


def test_one_that_hangs_is_silent(world):
    hangs = BY_NAME["hangs"]
    world.need(hangs)
    world.ask_all([(pair, named(world, what), asker)
                   for step in ("up", "lacks it") for pair in ((hangs, BY_NAME[step]), (BY_NAME[step], hangs))
                   for what, asker in (("segment", TARGET), ("segment", STANDBY), (TIMELINE, TARGET), (NO_TIMELINE, ALLOWED))])


# With segments fetched ahead: one is delivered, and a prefetcher has looked for the next before that is asked for.


@pytest.fixture(scope="module")
def servers(world):
    """The directories of the recovery and of the standby look as if their servers ran."""
    server = world.runtime.popen(["sleep", 1200])
    for asker in (TARGET, STANDBY):
        data = world.directories[asker]
        (data / "postmaster.pid").write_text(f"{server.pid}\n{data}\n{int(time.time())}\n5432\n")
        world.runtime.own(data / "postmaster.pid")
    yield
    server.kill()
    server.wait()


def prefetched(world, states, asker):
    """The answer to the second of two segments of one recovery; what was wrong with it, and whether it had lain ready."""
    config = world.config(states, False, False, "8s", "4MB")
    spool = world.runtime.make_directory(world.site.directory / f"spool-{config.stem}")
    config.write_text(config.read_text() + f"spool-directory = {spool}\n")
    data, want = world.directories[asker], world.wanted(states, world.segment.name, asker)
    target = data / f"pg_wal/RECOVERY{next(world.numbers)}"
    at_work = types.SimpleNamespace(config=config)

    def run(name, status):
        command, _ = world.command(config, states, name, f"pg_wal/{target.name}")
        return world.runtime.run(command, status=status, cwd=data, timeout=90)

    try:
        run(world.first.name, 0)
        ready = spool / "main"
        wait_until(lambda: any(ready.glob(f"*/{world.segment.name}")) or not prefetchers(at_work), "the prefetcher to have looked")
        lay_ready = any(ready.glob(f"*/{world.segment.name}"))
        target.unlink()
        wrong = world.judge(states, world.segment.name, want, run(world.segment.name, None), target)
        return wrong and f"{asker.name}, {[s.name for s in states]}: wanted {want}, {wrong}", lay_ready
    finally:
        target.unlink(missing_ok=True)
        for pid in prefetchers(at_work):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_the_answer_is_the_same_with_segments_fetched_ahead(world, servers, request):
    every = request.config.getoption("--all")
    others = world.states if every else [BY_NAME[name] for name in ("up", "lacks it")]
    pairs = {pair for one in world.states for other in others for pair in ((one, other), (other, one))}
    # a first segment that is delivered; a tracer would wait for the prefetcher
    chosen = [p for p in pairs if any(s.of_a_file for s in p) and not any(s.name == "unreadable" or s.slow for s in p)]
    questions = [(world, pair, asker) for pair in sorted(chosen, key=str) for asker in (TARGET, STANDBY)]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE // 2) as pool:
        found = list(pool.map(lambda q: prefetched(*q), questions))
    wrong = [w for w, _ in found if w]
    assert not wrong, f"{len(wrong)} of {len(found)} answers are wrong:\n" + "\n".join(wrong[:20])
    delivered = sum(world.wanted(pair, world.segment.name, asker) == "delivered" for _, pair, asker in questions)
    assert sum(ready for _, ready in found) > delivered // 2 > 0, "hardly anything lay ready"
