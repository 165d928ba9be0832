"""stop and start: archiving waits for a reason, and nothing is lost by it."""

import subprocess

import pytest

from harness import Site, wait_until
from reports import backed_up, fill, problems, segments

STOPPED = 75
REASON = "the store is moved — ticket 4711"


@pytest.fixture(scope="module")
def running(runtime):
    with runtime.place("stop") as place:
        site = Site(runtime, place / "site")
        site.source = backed_up(site, segments=1)
        yield site


@pytest.fixture
def stopped(running):
    running.json("stop", "--reason", REASON)
    yield running
    running.pgcairn("start")


def test_the_server_keeps_its_wal_until_start(running):
    before = {p.name for p in segments(running)}
    running.json("stop", "--reason", REASON)
    fill(running.source)
    waiting = running.source.switch_wal()
    wait_until(lambda: running.source.value("SELECT last_failed_wal FROM pg_stat_archiver") == waiting, "a failed try")
    running.source.stop()
    running.source.start()  # as after a reboot
    fill(running.source)
    assert {p.name for p in segments(running)} == before
    assert (running.source.data / "pg_wal" / waiting).exists()
    assert "is stopped on this host since" in running.source.log_text()
    assert running.json("start")["changed"] is True
    later = running.source.archive_now()
    assert {waiting, later} <= {p.name for p in segments(running)}


def test_archive_command_answers_75_with_who_when_and_why(stopped):
    waiting = stopped.source.switch_wal()
    said = stopped.archive(stopped.source.data / "pg_wal" / waiting, status=STOPPED).stderr
    assert REASON in said and "since 20" in said and "@" in said and "pgcairn start" in said


def test_both_are_safe_to_repeat_and_the_first_reason_stays(stopped):
    again = stopped.json("stop", "--reason", "another")
    assert (again["stopped"], again["changed"], again["reason"]) == (True, False, REASON)
    assert stopped.json("start")["changed"] is True
    assert stopped.json("start") == {"cluster": "main", "stopped": False, "changed": False}


def test_what_another_run_did_is_durable_when_a_repeated_one_says_so(stopped):
    """The first may have been killed between its work and the fsync."""
    assert "stopped/main.json>" in stopped.synced("stop", "--reason", "another").stderr
    stopped.pgcairn("start")
    assert "/stopped>" in stopped.synced("start").stderr


def test_a_host_that_was_never_stopped_can_be_started(site):
    site.use(site.cluster())
    site.pgcairn("init")
    assert site.json("start")["changed"] is False


def test_info_and_check_show_it_and_forget_it(stopped):
    archiving = stopped.json("info")["archiving"]
    assert (archiving["stopped"], archiving["reason"]) == (True, REASON)
    assert "STOPPED since" in stopped.pgcairn("info").stdout
    finding = problems(stopped)["stopped"]
    assert finding["severity"] == "warning" and REASON in finding["what"] and "pgcairn start" in finding["remedy"]
    assert "archiver" not in problems(stopped), "its failures are wanted"
    stopped.pgcairn("start")
    assert stopped.json("info")["archiving"] == {"stopped": False}
    stopped.source.archive_now()
    assert "stopped" not in problems(stopped, status=0)


@pytest.mark.parametrize("is_stopped", [True, False])
def test_whether_it_is_stopped_is_called_not_known_where_the_state_cannot_be_read(running, is_stopped):
    """By a user who may read the repositories and not the state directory: "not stopped" would be a guess."""
    if is_stopped:
        running.json("stop", "--reason", REASON)
    folder = running.directory / "state/stopped"
    folder.mkdir(exist_ok=True)
    folder.chmod(0)
    try:
        archiving = running.json("info")["archiving"]
        assert archiving["stopped"] is None and "ermission denied" in archiving["error"]["message"]
        assert "NOT KNOWN" in running.pgcairn("info").stdout
        finding = problems(running, options=("--no-switch",))["stopped"]
        assert "not known" in finding["what"] and "state directory" in finding["remedy"]
    finally:
        folder.chmod(0o700)
        running.runtime.own(folder)
        running.pgcairn("start")


def test_a_stop_that_is_forgotten_becomes_critical(running):
    running.extra = ["[check]", "archive-max-age = 1s"]
    running.write_config()
    try:
        running.json("stop", "--reason", REASON)
        wait_until(lambda: problems(running)["stopped"]["severity"] == "critical", "a second to pass")
    finally:
        running.pgcairn("start")
        running.extra = []
        running.write_config()


def test_a_backup_is_refused_meanwhile(stopped):
    said = stopped.pgcairn("backup", "--full", status=4).stderr
    assert REASON in said and "needs its WAL archived" in said


def test_fetching_goes_on(stopped):
    target = stopped.directory / "fetched"
    stopped.fetch(segments(stopped)[0].name, target)
    target.unlink()


def test_only_the_named_cluster_is_stopped(stopped, place):
    other = Site(stopped.runtime, place / "other", name="other")
    other.use(stopped.source)
    other.config.write_text(other.config_text().replace(str(other.directory / "state"), str(stopped.directory / "state")))
    assert other.json("info", status={0, 1})["archiving"] == {"stopped": False}


@pytest.mark.parametrize("arguments", [(), ("--reason", " "), ("--reason", "x" * 512), ("--reason", "a\nb"), ("--reason", "\x1b[31m")])
def test_a_stop_without_a_proper_reason_is_no_stop(running, arguments):
    assert " hint: " in running.pgcairn("stop", *arguments, status=2).stderr
    assert running.json("info")["archiving"] == {"stopped": False}


def test_a_decision_that_cannot_be_read_still_stops(stopped):
    decision = stopped.directory / "state/stopped/main.json"
    kept = decision.read_bytes()
    for text in (b"", b"{", b'{"time":"yesterday","by":"x","reason":"y"}', b"x" * 5000):
        decision.write_bytes(text)
        said = stopped.archive(stopped.source.data / "pg_wal" / stopped.source.switch_wal(), status=STOPPED).stderr
        assert "cannot be read" in said
    decision.write_bytes(kept)


def test_a_state_directory_that_cannot_be_searched_loses_nothing(running):
    """Whether archiving is stopped is not known then, so nothing is acknowledged."""
    running.json("stop", "--reason", REASON)
    folder = running.directory / "state/stopped"
    folder.chmod(0)
    try:
        running.archive(running.source.data / "pg_wal" / running.source.switch_wal(), status={1, STOPPED})
    finally:
        folder.chmod(0o700)
        running.pgcairn("start")


def test_root_decides_for_the_user_who_archives(running):
    if running.runtime.user is None:
        pytest.skip("the tests do not run as root")
    env = running.runtime.environment()
    subprocess.run([str(a) for a in running.command("pgcairn", "stop", "--reason", REASON)], check=True, env=env,
                   capture_output=True, timeout=60)
    try:
        running.archive(running.source.data / "pg_wal" / running.source.switch_wal(), status=STOPPED)
        assert "root@" in running.json("info")["archiving"]["by"]
    finally:
        running.pgcairn("start")


def test_a_user_who_may_not_is_told_whose_the_state_directory_is(running):
    if running.runtime.user is None:
        pytest.skip("the tests do not run as root")
    readable = running.directory / "state"
    for verb in (("stop", "--reason", REASON), ("start",)):
        result = subprocess.run([str(a) for a in running.command("pgcairn", *verb)], env=running.runtime.environment(), check=False,
                                capture_output=True, text=True, timeout=60, user=65533, group=65533, extra_groups=[])
        assert result.returncode != 0, result.stdout
        assert f"the state directory '{readable}' belongs to another user" in result.stderr and "PGDATA" not in result.stderr
