"""A repository that was away is brought up to the others by the agent itself, while archiving goes on."""

import pytest

from agents import Agent
from ha import away, back, promote
from harness import MB, Site, wait_until

NEAR, FAR = "near", "far"


@pytest.fixture
def site(runtime, place):
    """Two repositories, of which one is enough; a running server."""
    site = Site(runtime, place / "site", repositories=(NEAR, FAR))
    site.acknowledge = "1"
    site.server = site.cluster()
    site.pgcairn("init")
    site.server.start()
    site.server.pgbench("-i", "-s", "1")
    yield site
    site.server.stop()


def wal(site, repository):
    top = site.repositories[repository]
    return {str(path.relative_to(top)) for path in top.glob("clusters/*/wal/**/*") if path.is_file()}


def archive(site, n):
    """n segments under load."""
    for _ in range(n):
        site.server.pgbench("-t", "20")
        last = site.server.archive_now()
    return last


def recycle(site, name):
    """The server has this segment no more."""
    def is_gone():
        site.server.sql("CHECKPOINT")
        return not (site.server.data / "pg_wal" / name).exists()
    wait_until(is_gone, f"{name} to be recycled")


def wait_complete(site, agent, repository=FAR):
    """The agent says so, and it is so."""
    agent.wait_lane(repository, "up")
    other = NEAR if repository == FAR else FAR

    def is_complete():
        lane = agent.lane(repository)
        assert lane["behind"] or lane["lag_segments"] == lane["lag_bytes"] == lane["lag_seconds"] == 0
        return not lane["behind"] and wal(site, other) <= wal(site, repository)
    wait_until(is_complete, f"{repository} to have caught up", timeout=90)


def same_content(site, name):
    found = []
    for repository in site.repositories:
        target = site.directory / f"fetched-{repository}"
        site.fetch(name, target, options=["--repository", repository])
        found.append(target.read_bytes())
        target.unlink()
    assert found[0] == found[1]


def test_one_that_was_away_is_completed_from_pg_wal_and_from_the_other(site):
    with Agent(site) as agent:
        wait_complete(site, agent)
        away(site, FAR)
        first = archive(site, 4)
        wait_until(lambda: agent.lane(FAR)["lag_segments"] >= 4, "the lag to be told")
        before = agent.lane(FAR)
        assert before["behind"] and before["state"] == "down" and before["lag_bytes"] >= 4 << 20
        archive(site, 2)
        recycle(site, first)
        last = archive(site, 2)
        assert agent.lane(FAR)["lag_segments"] > before["lag_segments"]
        back(site, FAR)
        wait_complete(site, agent)
        for name in (first, last):
            same_content(site, name)
        said = [line for line in agent.log_text().splitlines() if "'far' of cluster 'main' has caught up" in line][-1]
        assert ": 0 segments from pg_wal" not in said and " 0 objects" not in said, said
    assert site.json("verify")["clean"]


def test_what_a_former_agent_missed_is_caught_up(site):
    away(site, FAR)
    with Agent(site) as agent:
        archive(site, 3)
        wait_until(lambda: agent.lane(FAR)["missed"] >= 3, "the misses")
        agent.kill()
    back(site, FAR)
    assert len(wal(site, NEAR) - wal(site, FAR)) >= 3
    with Agent(site) as agent:
        wait_complete(site, agent)


def test_what_the_direct_way_missed_is_caught_up(site):
    away(site, FAR)
    archive(site, 3)
    back(site, FAR)
    with Agent(site) as agent:
        wait_complete(site, agent)


@pytest.mark.slow
def test_a_killed_agent_goes_on_where_it_was(site):
    away(site, FAR)
    archive(site, 12)
    back(site, FAR)
    for part in range(3, 10, 3):
        with Agent(site) as agent:
            wait_until(lambda part=part: len(wal(site, FAR)) >= part, "some of it", step=0.005)
            agent.kill()
        assert wal(site, FAR) <= wal(site, NEAR)
    with Agent(site) as agent:
        wait_complete(site, agent)
    assert site.json("verify")["clean"]


def test_a_history_that_was_missed_comes_before_the_new_timeline(site):
    """Out of pg_wal too, where nobody can be asked for it."""
    with Agent(site) as agent:
        wait_complete(site, agent)
    site.server.stop()
    (site.server.data / "standby.signal").touch()
    site.runtime.own(site.server.data)
    site.server.start()
    away(site, FAR)
    promote(site.server)
    archive(site, 2)
    back(site, FAR)
    away(site, NEAR)
    with Agent(site) as agent:
        archive(site, 1)
        history, = site.repositories[FAR].glob("clusters/*/wal/*/00000002.history")
        segments = [p for p in wal(site, FAR) if p.rsplit("/", 1)[1].startswith("00000002000")]
        assert len(segments) == 1, segments
        assert history.stat().st_mtime_ns < (site.repositories[FAR] / segments[0]).stat().st_mtime_ns
        back(site, NEAR)
        wait_complete(site, agent)
        wait_complete(site, agent, NEAR)


def test_a_source_that_is_away_leaves_what_lacks_told(site):
    """Nothing is called complete while who has it cannot be asked."""
    away(site, FAR)
    with Agent(site) as agent:
        archive(site, 2)
        wait_until(lambda: agent.lane(FAR)["lag_segments"] >= 2, "the lag")
        away(site, NEAR)
        back(site, FAR)
        agent.wait_lane(FAR, "up")
        archive(site, 1)
        assert agent.lane(FAR)["behind"] and agent.lane(FAR)["lag_segments"] >= 2
        back(site, NEAR)
        wait_complete(site, agent)
        wait_complete(site, agent, NEAR)


def test_high_water_records_say_how_far_wal_has_come_and_who_has_it(site):
    """Of a segment that is in one repository alone too; a tail that was cut is noticed by them."""
    away(site, FAR)
    with Agent(site) as agent:
        archive(site, 1)
        wait_until(lambda: site.objects("clusters/main/high-water/*/*/*/*", NEAR), "a record")
        mark = site.json("info", status={0, 3})["high_water"]
        assert mark["repositories"] == [NEAR]
        back(site, FAR)
        wait_complete(site, agent)
    name = f"{1:08X}{0:08X}{int(mark['lsn'].split('/')[1], 16) // MB - 1:08X}"
    assert site.segment_object(name, NEAR).exists()
    for repository in site.repositories:
        for path in site.objects("clusters/*/wal/*/*/*/*", repository):
            if path.name[:24] >= name:
                path.unlink()
    found = site.json("check", "--no-switch", status=3)["findings"]
    assert {f.get("repository", "") for f in found if f["check"] == "tail" and f["severity"] == "critical"} >= {NEAR}
