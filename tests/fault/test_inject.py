"""The injector does what it says: without this a sweep could prove nothing."""

import pytest

from faults import Call, Injector, Sweep, Tally, of_each_kind, spread

# Opens, writes twice, reads back, and goes on through a thread and a child; prints what each call answered.
SCRIPT = """
import errno, os, sys, threading
def say(what, call):
    try:
        print(what, call())
    except OSError as error:
        print(what, errno.errorcode[error.errno])
fd = os.open("file", os.O_RDWR | os.O_CREAT)
say("first", lambda: os.write(fd, b"abcd"))
thread = threading.Thread(target=lambda: say("thread", lambda: os.write(fd, b"efgh")))
thread.start()
thread.join()
sys.stdout.flush()
child = os.fork()
if child == 0:
    say("child", lambda: os.write(fd, b"ijkl"))
    sys.stdout.flush()
    os._exit(0)
print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
say("read", lambda: len(os.pread(fd, 100, 0)))
say("unnamed", lambda: os.close(os.open(".", os.O_RDWR | os.O_TMPFILE)))
"""
SOUND = {"first": "4", "thread": "4", "child": "4", "ended": "0", "read": "12", "unnamed": "None"}


@pytest.fixture
def script(runtime, injector, place):
    def run(*options, refuse=(), status=0):
        (place / "file").unlink(missing_ok=True)
        result = injector.run(["/usr/bin/python3", "-c", SCRIPT], [place / "file"], options, refuse, status, place, program=True)
        result.said = dict(line.split() for line in result.stdout.splitlines())
        return result

    return run


def test_calls_of_threads_and_children_count_and_those_on_other_files_do_not(script, place):
    result = script()
    assert result.said == SOUND
    assert [call.name for call in result.calls if call.name != "fstat"][:5] == ["openat", "write", "write", "write", "pread64"]
    assert {call.target for call in result.calls} == {str(place / "file")}
    assert [call.number for call in result.calls] == list(range(1, len(result.calls) + 1))


@pytest.mark.parametrize("nth,who", [(1, "first"), (2, "thread"), (3, "child")])
def test_one_call_answers_with_the_error_and_no_other(script, nth, who):
    result = script("--calls", "write", "--nth", str(nth), "--error", "ENOSPC")
    assert result.said == {**SOUND, who: "ENOSPC", "read": "8"}
    assert [(call.number, call.name) for call in result.calls] == [(nth, "write")]


def test_a_short_write_takes_half(script):
    result = script("--calls", "write", "--nth", "1", "--short")
    assert result.said == {**SOUND, "first": "2", "read": "10"}


def test_something_else_happens_while_a_call_waits(script, place):
    result = script("--calls", "write", "--nth", "3", "--aside", f"wc -c < {place}/file > {place}/seen")
    assert result.said == SOUND and (place / "seen").read_text().strip() == "8"
    assert [(call.number, call.name) for call in result.calls] == [(3, "write")]


def test_what_fails_aside_ends_the_run(script):
    assert script("--calls", "write", "--nth", "3", "--aside", "false", status=125).said.get("read") is None


def test_a_kill_ends_all_of_it_before_the_call(script, place):
    result = script("--calls", "write", "--nth", "3", "--kill", "all", status=137)
    assert result.said == {"first": "4", "thread": "4"}
    assert (place / "file").read_bytes() == b"abcdefgh"


def test_a_kill_of_one_process_leaves_its_parent(script):
    result = script("--calls", "write", "--nth", "3", "--kill", "process")
    assert result.said == {**{k: v for k, v in SOUND.items() if k != "child"}, "ended": "-9", "read": "8"}


def test_what_a_file_system_cannot_do_fails_every_time(script):
    assert script(refuse=["tmpfile=EOPNOTSUPP"]).said == {**SOUND, "unnamed": "ENOTSUP"}


@pytest.mark.parametrize("error,then", [("ECONNRESET", "b''"), ("EINTR", "b'first'")])
def test_a_send_that_fails_breaks_its_connection_and_one_that_may_be_repeated_does_not(injector, place, error, then):
    script = """
import os, signal, socket
ours, theirs = socket.socketpair()
theirs.send(b"first")
ours.settimeout(None)
try:
    ours.send(b"second")
except ConnectionResetError:
    ours.recv(5)
print(ours.recv(5))
"""
    options = ("--calls", "sendto", "--nth", "2", "--error", error)
    result = injector.run(["/usr/bin/python3", "-c", script], ["socket:"], options, status=0, cwd=place, program=True)
    assert result.stdout.strip() == then and len(result.calls) == 1


def test_a_call_that_is_not_made_leaves_the_log_empty(script):
    result = script("--calls", "write", "--nth", "4", "--error", "EIO")
    assert result.said == SOUND and result.calls == []


@pytest.mark.parametrize("options", [["--nth", "0", "--error", "EIO"], ["--nth", "1"], ["--error", "EIO"], ["--calls", "wriet"],
                                     ["--nth", "1", "--error", "EWHAT"], ["--refuse", "tmpfile"]])
def test_nonsense_is_refused(script, options):
    result = script(*options, status=125)
    assert result.said == {} and result.calls == []


def test_a_sample_is_spread_evenly_and_keeps_the_ends():
    assert spread(list(range(10)), 4) == [0, 3, 6, 9]
    assert spread([1, 2], 4) == [1, 2] and spread([1, 2, 3], 1) == [1] and spread([1, 2], None) == [1, 2]
    calls = [Call(n, "write", f"/data/base/5/{1000 + n}") for n in range(1, 10)] + [Call(10, "fsync", "/data/base/5/1001")]
    assert [c.number for c in of_each_kind(calls, 2)] == [1, 9, 10]


class Deaf(Injector):
    """Finds calls and hits none."""

    def __init__(self):
        pass

    def run(self, command, under, options=(), *_, **__):
        result = type("Result", (), {})()
        result.calls = [] if "--nth" in options else [Call(n, "write", "/x") for n in range(1, 9)]
        return result


def test_a_sweep_that_hits_nothing_fails():
    sweep = Sweep(Deaf(), Tally(), "nothing", lambda: ["true"], [], lambda: None)
    with pytest.raises(AssertionError, match="only 0 of 8 faults hit"):
        list(sweep.run("EIO"))


def test_a_sweep_without_calls_fails():
    sweep = Sweep(Deaf(), Tally(), "nothing", lambda: ["true"], [], lambda: None, a_kind=0)
    with pytest.raises(AssertionError, match="makes no call"):
        list(sweep.run("EIO"))


def test_counts_of_several_processes_add_up():
    one, other = Tally(), Tally()
    one.add("archive", "EIO")
    other.add("archive", "EIO")
    other.add("fetch", "kill")
    one.merge(other.as_list())
    assert list(one.lines()) == ["3 faults injected", "  archive: 2 (EIO 2)", "  fetch: 1 (kill 1)"]
    assert list(Tally().lines()) == []
