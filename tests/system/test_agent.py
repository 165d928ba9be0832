"""The agent in front of a real server: the same answers as without it, sooner."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest

from agents import DURABLE, ELSEWHERE, HEADER, MAGIC, VERSION, Agent
from harness import Cluster, Site, wait_until


@pytest.fixture
def cluster(site):
    """A running server that archives to an initialized site."""
    cluster = site.cluster()
    site.pgcairn("init")
    cluster.start()
    return cluster


@pytest.fixture
def both(two_repositories):
    """The same with two repositories, all of which have to have a segment."""
    two_repositories.server = two_repositories.cluster()
    two_repositories.pgcairn("init")
    two_repositories.server.start()
    return two_repositories


def ahead(cluster, n=4):
    """Close n segments while archive_command hangs on nothing: their names."""
    return [cluster.switch_wal() for _ in range(n)]


LIAR = f"""
import os, socket, sys
os.umask(0)
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(4)
while True:
    caller, _ = server.accept()
    try:
        caller.sendall({HEADER.pack(MAGIC, VERSION, DURABLE, 2) + b"{}"!r})
    except OSError:
        pass
    caller.close()
"""


def is_stored(site, name, repository=()):
    target = site.directory / "fetched"
    site.fetch(name, target, options=[w for r in repository for w in ("--repository", r)])
    target.unlink()


def test_ships_what_the_server_closes_before_it_asks(site):
    cluster = site.cluster(archive_command="false")
    site.pgcairn("init")
    cluster.start()
    with Agent(site) as agent:
        names = ahead(cluster)
        wait_until(lambda: agent.cluster()["durable"] >= len(names), "the segments to be shipped")
        for name in names:
            is_stored(site, name)
        # the server asks: it is answered without a look into the repository
        path = site.repositories["local"]
        path.rename(path.with_name("away"))
        for name in names:
            site.archive(f"pg_wal/{name}", name)
        path.with_name("away").rename(path)


def test_the_server_archives_through_the_agent(site, cluster):
    with Agent(site) as agent:
        names = [cluster.archive_now() for _ in range(5)]
        assert agent.cluster()["shipped"] >= 5
        wait_until(lambda: agent.cluster()["durable"] == 0, "what was archived to be forgotten")
    for name in names:
        is_stored(site, name)


def test_without_the_agent_the_command_does_it_itself(site, cluster):
    with Agent(site) as agent:
        cluster.archive_now()
        agent.kill()
        is_stored(site, cluster.archive_now())
    with Agent(site):
        is_stored(site, cluster.archive_now())


def test_a_second_agent_is_refused(site, cluster):
    with Agent(site) as agent:
        second = Agent(site)
        second.process.wait(30)
        assert second.process.returncode == 4
        assert "another agent runs" in second.log_text()
        assert agent.status()["pid"] == agent.pid


def test_the_socket_of_a_killed_agent_is_replaced(site, cluster):
    Agent(site).__enter__().kill()
    assert (site.directory / "run/agent.sock").exists()
    is_stored(site, cluster.archive_now())
    with Agent(site):
        is_stored(site, cluster.archive_now())


def test_a_socket_that_never_answers_costs_seconds_only(site, cluster):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(site.directory / "run/agent.sock"))
        dead.listen(8)
        shutil.chown(site.directory / "run/agent.sock", *(site.runtime.user.pw_name,) if site.runtime.user else (os.geteuid(),))
        is_stored(site, cluster.archive_now())


def test_an_agent_of_another_user_is_not_believed(site, cluster):
    """Who can put a socket there must not be able to say that a segment is safe."""
    if site.runtime.user is None:
        pytest.fail("this case needs root, as in the short tier everywhere else")
    cluster.archive_now()
    cluster.sql("ALTER SYSTEM SET archive_command = 'false'")
    cluster.sql("SELECT pg_reload_conf()")
    fresh = cluster.switch_wal()
    address = site.directory / "liar.sock"
    site.directory.chmod(0o777)
    with subprocess.Popen(["/usr/bin/python3", "-c", LIAR, address], user=65534, group=65534, extra_groups=[]) as liar:
        try:
            wait_until(address.exists, "the liar")
            os.symlink(address, site.directory / "run/agent.sock")
            site.archive(f"pg_wal/{fresh}", fresh)
            is_stored(site, fresh)
        finally:
            liar.kill()


@pytest.mark.parametrize("raw", [b"GET / HTTP/1.0\r\n\r\n", HEADER.pack(MAGIC, VERSION + 1, 1, 0),
                                 HEADER.pack(MAGIC, VERSION, 1, 0xFFFFFFFF), HEADER.pack(MAGIC, VERSION, 1, 3) + b"{]}",
                                 HEADER.pack(MAGIC, VERSION, 77, 2) + b"{}"],
                         ids=["http", "version", "length", "json", "type"])
def test_what_is_no_request_is_turned_away(site, cluster, raw):
    with Agent(site) as agent:
        assert [kind for kind, _ in agent.call(raw=raw)] == [ELSEWHERE]
        is_stored(site, cluster.archive_now())
        assert agent.cluster()["shipped"] >= 1


@pytest.mark.parametrize("raw", [b"", b"x", HEADER.pack(MAGIC, VERSION, 1, 100) + b"{",
                                 HEADER.pack(MAGIC, VERSION, 1, 2) + b"{}" * 8000], ids=["nothing", "a byte", "a part", "too much"])
def test_a_caller_that_goes_away_harms_nobody(site, cluster, raw):
    with Agent(site) as agent:
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(agent.address))
            s.sendall(raw)
        is_stored(site, cluster.archive_now())
        assert agent.cluster()["shipped"] >= 1


def test_a_changed_configuration_is_taken_at_once(site, cluster, runtime):
    with Agent(site) as agent:
        cluster.archive_now()
        other = site.directory / "repository/second"
        site.repositories["second"] = other
        site.acknowledge = "all"
        site.write_config()
        site.pgcairn("init")
        name = cluster.archive_now()
        is_stored(site, name, ["second"])
        wait_until(lambda: len(agent.cluster()["repositories"]) == 2, "the agent to have read it")
        is_stored(site, cluster.archive_now(), ["second"])
        assert agent.process.poll() is None


def test_a_spoiled_configuration_leaves_the_agent_as_it_is(site, cluster):
    with Agent(site) as agent:
        good = site.config.read_text()
        site.write_config(good + "nonsense\n")
        os.kill(agent.pid, signal.SIGHUP)
        wait_until(lambda: "goes on with the configuration it has" in agent.log_text(), "the complaint")
        agent.status()
        site.write_config(good)
        is_stored(site, cluster.archive_now())
        assert agent.cluster()["shipped"] >= 1


def test_a_spoiled_configuration_with_changed_keys_is_complained_of_once(site, cluster):
    with Agent(site) as agent:
        good = site.config.read_text()
        site.write_config(good + "nonsense\n")
        os.utime(site.keys / "recipients")
        wait_until(lambda: "goes on with the configuration it has" in agent.log_text(), "the complaint")
        time.sleep(3)  # it looks each second
        assert agent.log_text().count("goes on with the configuration it has") == 1
        site.write_config(good)
        is_stored(site, cluster.archive_now())
        wait_until(lambda: "the configuration is read again" in agent.log_text(), "the agent to have read it")


def test_a_dead_repository_does_not_block_the_other(both):
    cluster = both.server
    both.acknowledge = "1"
    both.write_config()
    dead = both.repositories["remote"] if "remote" in both.repositories else list(both.repositories.values())[1]
    name = list(both.repositories)[1]
    with Agent(both) as agent:
        cluster.archive_now()
        dead.rename(dead.with_name("away"))
        names = [cluster.archive_now() for _ in range(4)]
        assert agent.lane(name)["state"] == "down"
        dead.with_name("away").rename(dead)
        agent.wait_lane(name, "up")
        names.append(cluster.archive_now())
        is_stored(both, names[-1], [name])


def test_a_dead_repository_that_the_policy_needs_is_told(both):
    cluster = both.server
    name = list(both.repositories)[1]
    dead = both.repositories[name]
    with Agent(both):
        cluster.archive_now()
        cluster.sql("ALTER SYSTEM SET archive_command = 'false'")
        cluster.sql("SELECT pg_reload_conf()")
        dead.rename(dead.with_name("away"))
        segment = cluster.switch_wal()
        result = both.archive(f"pg_wal/{segment}", segment, status=set(range(1, 126)))
        assert "acknowledge" in result.stderr and name in result.stderr
        dead.with_name("away").rename(dead)
        both.archive(f"pg_wal/{segment}", segment)  # the first try after it is back succeeds
        is_stored(both, segment, [name])


def test_stopped_archiving_ships_nothing(site, cluster):
    with Agent(site) as agent:
        cluster.archive_now()
        site.pgcairn("stop", "--reason", "maintenance")
        segment = cluster.switch_wal()
        result = site.archive(f"pg_wal/{segment}", segment, status=75)
        assert "maintenance" in result.stderr
        wait_until(lambda: agent.cluster()["failed"] == 1, "the agent to have looked at it")
        assert not site.objects(f"clusters/*/wal/*/*/*/{segment}")
        site.pgcairn("start")
        cluster.wait_archived(segment, timeout=90)
        assert agent.process.poll() is None


def test_a_file_that_was_replaced_is_not_called_durable(site):
    """Durable is bound to the bytes: another file under the name is compared, not believed."""
    twin = Cluster.create(site.runtime, site.directory / "twin")  # of the same system, with another life
    twin.start()
    twin.sql("CREATE TABLE t AS SELECT 1")
    cluster = site.cluster(archive_command="false")
    site.pgcairn("init")
    cluster.start()
    wanted = cluster.value("SELECT pg_walfile_name(pg_current_wal_lsn())")
    while twin.switch_wal() < wanted:
        pass
    with Agent(site) as agent:
        segment = cluster.switch_wal()
        wait_until(lambda: agent.cluster()["durable"] >= 1, "the segment to be shipped")
        path = cluster.data / "pg_wal" / segment
        path.write_bytes((twin.data / "pg_wal" / segment).read_bytes())
        result = site.archive(f"pg_wal/{segment}", segment, status=4)
        assert "other content" in result.stderr
        # by another path it is not the agent's business; the answer is the same
        assert "other content" in site.archive(path, segment, status=4).stderr


def test_damage_is_refused_as_without_the_agent(site):
    cluster = site.cluster(archive_command="false")
    site.pgcairn("init")
    cluster.start()
    with Agent(site) as agent:
        good = cluster.switch_wal()
        wait_until(lambda: agent.cluster()["durable"] >= 1, "the segment to be shipped")
        path = cluster.data / "pg_wal" / "000000010000000000000077"
        path.write_bytes(bytes(1024 * 1024))
        site.runtime.own(path)
        (cluster.data / "pg_wal/archive_status/000000010000000000000077.ready").touch()
        wait_until(lambda: agent.cluster()["failed"] == 1, "the refusal")
        with_agent = site.archive(f"pg_wal/{path.name}", path.name, status={3, 4})
        agent.stop()
        alone = site.archive(f"pg_wal/{path.name}", path.name, status={3, 4})
        assert with_agent.returncode == alone.returncode
        def texts(result):
            return [line.split(" ", 1)[1].replace(f"{cluster.data}/", "") for line in result.stderr.splitlines()]
        assert texts(with_agent) == texts(alone)
        assert good


def test_history_goes_before_the_timeline(site, cluster):
    """Nothing of a timeline is in a repository that does not have its history."""
    with Agent(site):
        cluster.archive_now()
        site.pgcairn("backup")
        cluster.archive_now()
        copy = site.restore("--adopt")
        cluster.stop()
        site.use(copy)
        copy.start()
        copy.wait_promoted()
        segment = copy.archive_now()
        assert segment.startswith("00000002")
        history = site.objects("clusters/*/wal/*/00000002.history")[0]
        first = min(site.objects("clusters/*/wal/*/00000002/*/*"), key=lambda p: p.stat().st_mtime_ns)
        assert history.stat().st_mtime_ns <= first.stat().st_mtime_ns


def test_tells_the_service_manager(site, cluster):
    address = site.directory / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        site.runtime.own(address)
        manager.settimeout(30)
        with Agent(site, env={"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "400000"}) as agent:
            words = [manager.recv(4096).decode() for _ in range(4)]
            assert words[0].startswith("READY=1\n")
            assert words[1:].count("WATCHDOG=1") == 3
            os.kill(agent.pid, signal.SIGHUP)
            while "RELOADING=1" not in (word := manager.recv(4096).decode()):
                assert word == "WATCHDOG=1"
            assert "MONOTONIC_USEC=" in word
            while not (word := manager.recv(4096).decode()).startswith("READY=1"):
                assert word == "WATCHDOG=1"
            agent.stop()
            words = []
            manager.settimeout(1)
            while "STOPPING=1" not in words:
                words.append(manager.recv(4096).decode())


def test_a_backlog_is_shipped(site):
    cluster = site.cluster(archive_command="false", max_wal_size="64MB")
    site.pgcairn("init")
    cluster.start()
    names = [cluster.switch_wal() for _ in range(60)]
    with Agent(site) as agent:
        wait_until(lambda: agent.cluster()["durable"] >= len(names), "the backlog to be shipped", timeout=120)
    for name in names[::20]:
        is_stored(site, name)


def test_watch_shows_what_flows_and_each_lag(both):
    cluster = both.server
    both.acknowledge = "1"
    both.write_config()
    name = list(both.repositories)[1]

    def frames(count=1):
        result = both.pgcairn("info", "--watch", "--json", "--count", count, "--interval", "100ms")
        return [json.loads(line) for line in result.stdout.splitlines()]

    segment = cluster.archive_now()
    frame, = frames()
    assert frame["source"] == "repositories"
    assert [r["newest"] for r in frame["repositories"]] == [segment, segment]
    assert [r["lag_segments"] for r in frame["repositories"]] == [0, 0]
    with Agent(both):
        cluster.archive_now()
        first, second = frames(2)
        assert first["source"] == "agent" and first["time"] < second["time"]
        both.repositories[name].rename(both.repositories[name].with_name("away"))
        for _ in range(3):
            cluster.archive_now()
        last = frames()[0]
        assert last["shipped"] >= first["shipped"] + 3
        near, far = last["repositories"]
        assert (near["state"], near["lag_segments"]) == ("up", 0)
        assert far["state"] == "down" and far["lag_segments"] >= 3 and far["lag_bytes"] >= 3 << 20
        text = both.pgcairn("info", "--watch", "--count", 1).stdout
        assert name in text and "down" in text and "waiting" in text
    both.pgcairn("info", "--watch", "--interval", "1ms", status=2)


def test_changed_keys_are_noticed_as_without_the_agent(site, cluster):
    """Who may read is decided by the recipients file as it is now, not as it was when the agent began."""
    recipients = site.keys / "recipients"
    good = recipients.read_text()
    stranger = Site(site.runtime, site.directory.parent / "stranger")
    stranger.use(cluster)
    stranger.pgcairn("init")
    with Agent(site) as agent:
        with_a_segment_to_archive(cluster)
        recipients.write_text(good + (stranger.keys / "recipients").read_text())
        agent.wait_lane("local", "down")
        segment = cluster.switch_wal()
        assert "recipients" in site.archive(f"pg_wal/{segment}", segment, status=2).stderr
        assert not site.objects(f"clusters/*/wal/*/*/*/{segment}")
        recipients.write_text(good)
        agent.wait_lane("local", "up")
        site.archive(f"pg_wal/{segment}", segment)
        is_stored(site, segment)


def with_a_segment_to_archive(cluster):
    """Nobody asks for it but the test."""
    cluster.archive_now()
    cluster.sql("ALTER SYSTEM SET archive_command = 'false'")
    cluster.sql("SELECT pg_reload_conf()")
    return cluster.switch_wal()


def test_an_agent_that_stands_still_costs_seconds_only(site, cluster):
    with Agent(site) as agent:
        segment = with_a_segment_to_archive(cluster)
        os.kill(agent.pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            site.archive(f"pg_wal/{segment}", segment)
            assert time.monotonic() - begun < 30, "half of the time limit is for an agent that works"
        finally:
            os.kill(agent.pid, signal.SIGCONT)
        is_stored(site, segment)


def test_more_callers_than_it_has_places_for_are_answered(site, cluster):
    with Agent(site) as agent:
        segment = with_a_segment_to_archive(cluster)
        command = site.command("pgcairn-wal-archive", f"pg_wal/{segment}", segment)
        callers = [site.runtime.popen(command, cwd=site.pgdata, stderr=subprocess.DEVNULL) for _ in range(150)]
        assert {caller.wait(120) for caller in callers} == {0}
        assert agent.process.poll() is None
        is_stored(site, segment)
