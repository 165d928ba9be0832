"""What the sweeps of faults share: the binaries, the injector, and the count of what it did."""

import fcntl
import os
import pathlib
import subprocess

import pytest

import harness
from faults import Injector, Tally

TALLY = pytest.StashKey()
PLAIN_TARGETS = ["pgcairn", "archive_command/pgcairn-wal-archive", "restore_command/pgcairn-wal-restore"]


def pytest_configure(config):
    config.stash[TALLY] = Tally()


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # one process of several: to the one that prints
        session.config.workeroutput["faults"] = session.config.stash[TALLY].as_list()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    node.config.stash[TALLY].merge(getattr(node, "workeroutput", {}).get("faults", []))


def pytest_terminal_summary(terminalreporter, config):
    for line in config.stash[TALLY].lines():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def swift(runtime, request):
    """Binaries without sanitizers for the long run, which starts them some ten thousand times; else those of the build."""
    if not request.config.getoption("--all"):
        yield runtime
        return
    plain = pathlib.Path(request.config.getoption("--build")) / "plain"
    plain.mkdir(exist_ok=True)
    with open(plain / "lock", "w", encoding="utf-8") as lock:  # several processes of one run come here at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (plain / "build.ninja").exists():
            subprocess.run(["meson", "setup", plain, harness.REPO, "-Dtests=false"], check=True, timeout=300)
        subprocess.run(["ninja", "-C", plain, *PLAIN_TARGETS], check=True, timeout=900)
    built = harness.Runtime(plain)
    yield built
    built.close()


@pytest.fixture(scope="session")
def injector(swift, runtime, request):
    return Injector(swift, runtime, request.config.getoption("--build"))


@pytest.fixture(scope="session")
def tally(request):
    return request.config.stash[TALLY]


@pytest.fixture(scope="session")
def few(request):
    """How many faults a sweep of the short tier injects; None for all of them. $PGCAIRN_TEST_FAULTS for a look at a change."""
    if "PGCAIRN_TEST_FAULTS" in os.environ:
        return int(os.environ["PGCAIRN_TEST_FAULTS"])
    return None if request.config.getoption("--all") else 6
