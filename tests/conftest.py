"""Fixtures for all tests that use real servers and the built binaries. tests/run.sh says where the build is."""

import os
import pathlib
import signal
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "system"))

import harness  # noqa: E402  (the line above makes it importable)
import majors  # noqa: E402

TEST_LIMIT_SECONDS = 300


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="run the slow tests too")
    parser.addoption("--build", default=os.environ.get("PGCAIRN_BUILD", harness.REPO / "build-tests"),
                     help="the meson build directory (default: $PGCAIRN_BUILD, then build-tests)")


def pytest_configure(config):
    config.notes = []  # what tests counted, for the end of the run
    config.addinivalue_line("markers", "limit(seconds): how long this test may take")
    config.addinivalue_line("markers", "slow: left out unless --all is given")


def pytest_collection_modifyitems(config, items):
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow and not config.getoption("--all"):
        print(f"{len(slow)} slow cases run with --all only")
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # one process of several: to the one that prints
        session.config.workeroutput["notes"] = session.config.notes


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    node.config.notes += getattr(node, "workeroutput", {}).get("notes", [])


def pytest_terminal_summary(terminalreporter, config):
    for note in config.notes:
        terminalreporter.write_line(note)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """No test hangs the run: the alarm raises inside of it, and its fixtures clean up."""

    marker = item.get_closest_marker("limit")
    limit = marker.args[0] if marker else TEST_LIMIT_SECONDS

    def give_up(_signal, _frame):
        raise TimeoutError(f"the test took longer than {limit} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(limit)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the ends of the server logs."""
    report = (yield).get_result()
    runtime = item.funcargs.get("runtime")
    if report.failed and runtime:
        for cluster in runtime.clusters:
            report.sections.append((f"log of {cluster.data}", cluster.log_text()[-4000:]))


@pytest.fixture(scope="session")
def runtime(request):
    built = harness.Runtime(request.config.getoption("--build"))
    yield built
    built.close()


@pytest.fixture(autouse=True)
def no_sanitizer_reports(request):
    """A report of ASan, LSan or UBSan fails the test in which it was written, whatever the exit codes were."""
    if "runtime" not in request.fixturenames:
        yield
        return
    built = request.getfixturevalue("runtime")
    yield
    reports = built.sanitizer_reports()
    assert not reports, reports


@pytest.fixture
def place(runtime, request):
    """A directory for one test, gone after it together with the servers in it."""
    with runtime.place(request.node.name) as directory:
        yield directory


@pytest.fixture
def site(runtime, place):
    """A site with one repository; nothing is initialized yet."""
    return harness.Site(runtime, place / "site")


@pytest.fixture(params=["debian", *(pytest.param(major, marks=pytest.mark.slow) for major in majors.MAJORS)])
def server_bin(request):
    """The bin directory of Debian's server, and with --all of each major's."""
    return harness.PG_BIN if request.param == "debian" else majors.pg_bin(request.param)


@pytest.fixture
def two_repositories(runtime, place):
    """A site with the repositories near and far; archiving needs both."""
    return harness.Site(runtime, place / "site", repositories=("near", "far"))


@pytest.fixture(scope="module")
def segments(runtime):
    """A stopped cluster and plain copies of two of its segments."""
    with runtime.place("segments") as place:
        raw = runtime.make_directory(place / "raw")
        cluster = harness.Cluster.create(runtime, place / "source", archive_mode="on", archive_command=f"cp %p {raw}/%f")
        cluster.start()
        found = []
        for _ in range(2):
            cluster.sql("SELECT pg_logical_emit_message(false, 'x', gen_random_uuid()::text) FROM generate_series(1, 5000)")
            found.append(raw / cluster.archive_now())
        cluster.stop()
        found.append(cluster)
        yield found
