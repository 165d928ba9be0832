"""A server that was not archived for long: all of it is shipped, by an agent that does not grow with it."""

import pytest

from agents import Agent
from harness import MB, Site, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.limit(900)]
SEGMENTS = 2100  # more than the queue holds, and a whole row of an index behind the first one, which has a hole in front
MOST = 64 * MB


def peak(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def test_a_long_backlog_is_shipped_in_bounded_memory(swift):
    with swift.place("backlog") as place:
        site = Site(swift, place / "site")
        cluster = site.cluster(archive_command="false")
        site.pgcairn("init")
        cluster.start()
        names = [cluster.switch_wal() for _ in range(SEGMENTS)]
        cluster.stop()
        for name in names:
            (cluster.data / "pg_wal/archive_status" / f"{name}.ready").touch()
        swift.own(cluster.data)
        with Agent(site, options=("--log-level", "error")) as agent:
            wait_until(lambda: agent.cluster()["durable"] >= 1024, "as much as the queue holds", timeout=300)
            held = peak(agent.pid)
        assert held < MOST, f"{held / MB:.0f} MiB"
        site.pgcairn("agent", "--once", timeout=600)
        stored = {path.name for path in site.objects("clusters/*/wal/*/*/*/*")}
        assert set(names) <= stored
        two_more_are_brought_up(site)
        assert site.json("verify", timeout=600)["clean"]


def two_more_are_brought_up(site):
    """Repositories that were added later: from pg_wal and from the first, both at once, in the same bounds. Then they get indexes."""
    for name in ("second", "third"):
        site.repositories[name] = site.directory / "repository" / name
    site.acknowledge = "1"
    site.write_config()
    site.pgcairn("init")
    with Agent(site, options=("--log-level", "error")) as agent:
        wait_until(lambda: not any(lane["behind"] for lane in agent.cluster()["repositories"]), "all to be complete", timeout=300)
        wait_until(lambda: all(site.objects("clusters/*/index/**/*", name) for name in site.repositories), "indexes", 100)
        held = peak(agent.pid)
    assert held < MOST, f"{held / MB:.0f} MiB"
    stored = [{path.name for path in site.objects("clusters/*/wal/*/*/*/*", name)} for name in site.repositories]
    assert stored[0] == stored[1] == stored[2]
