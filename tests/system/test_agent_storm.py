"""A primary under load whose agent is killed and whose repositories come and go: every commit that was archived comes back."""

import contextlib
import random
import time

import pytest

from agents import Agent
from ha import Ledger
from harness import wait_until

SECONDS = 12


class Weather:
    """What happens to the agent and the repositories; never to both repositories at once."""

    def __init__(self, site, seed):
        self.site, self.random = site, random.Random(seed)
        self.agent = Agent(site)
        self.agent.wait_ready()
        self.away = None
        self.happened = []

    def kill(self):
        self.agent.kill()
        self.agent = Agent(self.site)

    def stop(self):
        self.agent.stop()
        self.agent = Agent(self.site)

    def without(self):
        """Some segments the direct way."""
        self.agent.kill()
        time.sleep(0.5)
        self.agent = Agent(self.site)

    def move(self):
        if self.away:
            self.back()
            return
        self.away = self.random.choice(list(self.site.repositories.values()))
        self.away.rename(self.away.with_name("away"))

    def back(self):
        if self.away:
            self.away.with_name("away").rename(self.away)
            self.away = None

    def once(self):
        event = self.random.choice(["kill", "stop", "without", "move", "move"])
        self.happened.append(event)
        getattr(self, event)()

    def clear(self):
        self.back()
        self.agent.wait_ready()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_every_archived_commit_comes_back(two_repositories, seed):
    site = two_repositories
    site.acknowledge = "1"
    cluster = site.cluster()
    site.pgcairn("init")
    cluster.start()
    ledger = Ledger(cluster)
    site.pgcairn("backup")
    weather = Weather(site, seed)
    ledger.begin(cluster)
    try:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            weather.once()
            cluster.switch_wal()
            time.sleep(weather.random.uniform(0.1, 0.8))
    finally:
        last = ledger.end()
        weather.clear()
    try:
        assert last > 100
        # one try a minute is what the server makes after three failures: make it look again
        cluster.sql("SELECT pg_reload_conf()")
        newest = cluster.switch_wal()
        cluster.wait_archived(newest, timeout=150)
        assert {"kill", "move"} <= set(weather.happened)
    finally:
        with contextlib.suppress(AssertionError):
            weather.agent.stop()
    cluster.kill9()
    copy = site.restore()
    copy.start()
    copy.wait_promoted()
    ledger.wants(copy, last)
    assert not any(site.objects("clusters/*/conflict/**/*", r) for r in site.repositories)
    wait_until(lambda: not copy.value("SELECT pg_is_in_recovery()"), "the copy to be open")
