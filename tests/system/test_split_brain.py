"""Several servers that write WAL of one cluster into one repository: side by side, one after the other, and against each other."""

import pytest

from ha import FAILED, Ledger, admit, clone_standby, other_host, promote, restore_standby, streaming, timeline
from harness import PG_BIN, wait_until


class Cluster:
    """A primary on host a with a backup, and standbys on hosts of their own."""

    def __init__(self, site, standbys, **settings):
        self.site = site
        self.a = site.cluster(archive_timeout="0")
        self.a.start()
        site.pgcairn("init")
        self.ledger = Ledger(self.a)
        self.ledger.write(self.a, 10)
        self.backup = site.json("backup")
        self.hosts, self.servers = {}, {}
        for name in standbys:
            self.hosts[name] = host = other_host(site, name)
            self.servers[name] = server = clone_standby(host, self.a, **{"archive_mode": "on", **settings})
            admit(site, host)
            server.start()
        wait_until(lambda: self.a.value("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == len(standbys),
                   "the standbys to stream")
        self.ledger.write(self.a, 10)
        for server in self.servers.values():
            self.ledger.wait(server)

    def recovered(self, *args, rows):
        """A recovery from the repository holds exactly these rows."""
        self._copies = getattr(self, "_copies", 0) + 1
        copy = self.site.restore(*args, directory=f"copy-{self._copies}")
        copy.start()
        if "--target-name" in args:
            copy.wait_paused()
        else:
            copy.wait_promoted()
        assert [row[0] for row in copy.sql("SELECT id FROM ledger ORDER BY id")] == list(rows)
        copy.stop("immediate")

    def whole(self):
        assert self.site.info()["conflicts"] == []
        self.site.pgcairn("verify")


def failures(server):
    return server.value("SELECT failed_count FROM pg_stat_archiver")


@pytest.mark.slow
def test_two_hosts_that_archive_the_same_segments_do_not_conflict_and_a_promotion_goes_on(site):
    """archive_mode = always: each segment comes twice, from two signers, in any order; the last one partial and whole."""
    cluster = Cluster(site, ["b"], archive_mode="always")
    a, b, ledger = cluster.a, cluster.servers["b"], cluster.ledger
    ledger.begin(a)
    names = []
    for _ in range(4):
        rows = ledger.acknowledged + 20
        wait_until(lambda rows=rows: ledger.acknowledged >= rows, "commits")
        names.append(a.switch_wal())
    ledger.end()
    for name in names:
        a.wait_archived(name)
        wait_until(lambda name=name: (b.data / "pg_wal/archive_status" / f"{name}.done").exists() or
                   not (b.data / "pg_wal" / name).exists(), f"{name} to be archived by the standby")
    assert failures(b) == failures(a) == 0
    ledger.write(a, 1)  # in the new segment, where no commit may have been yet
    ledger.wait(b)
    promote(b)  # in the middle of it, and the old primary still writes
    a.sql("INSERT INTO ledger VALUES (1000000)")
    last = a.archive_now()
    b.archive_now()
    wait_until(lambda: site.objects("clusters/main/wal/*/00000001/*/*.partial"), "the partial segment")
    assert site.objects(f"clusters/main/wal/*/00000001/*/{last}")
    assert failures(b) == failures(a) == 0
    ledger.write(b, 5)
    b.archive_now()
    cluster.whole()
    cluster.recovered(rows=range(1, ledger.acknowledged + 1))
    cluster.recovered("--target-timeline", "1", rows=[*range(1, ledger.acknowledged - 4), 1000000])


@pytest.mark.slow
def test_two_standbys_that_took_one_timeline_conflict_and_the_first_life_is_the_one_that_is_restored(site):
    cluster = Cluster(site, ["b", "c"])
    b, c, ledger = cluster.servers["b"], cluster.servers["c"], cluster.ledger
    c.configure(restore_command="")  # so that it does not hear of the first promotion
    c.pg_ctl("restart", "-w", "-l", c.log, "-o", f"-p {c.port} -k {c.directory}")
    cluster.a.stop()
    ledger.wait(c)
    promote(b)
    ledger.write(b, 10)
    b.archive_now()
    kept = {p: p.read_bytes() for p in site.objects("clusters/main/wal/**/*")}
    c.configure(primary_conninfo="")
    c.pg_ctl("reload")
    promote(c)
    assert timeline(b) == timeline(c) == 2
    c.sql("INSERT INTO ledger VALUES (2000000)")
    c.switch_wal()
    wait_until(lambda: "holds other content under the name" in c.log_text(), "the conflict")
    wait_until(lambda: "archive command failed with exit code 4" in c.log_text() and failures(c) > 0, "the server to hear of it")
    wait_until(lambda: site.info()["conflicts"], "the conflict to be kept")
    assert {p: p.read_bytes() for p in kept} == kept
    site.use(cluster.a)
    assert site.pgcairn("verify", status=3).stdout.count("conflict") >= 1
    ledger.write(b, 10)
    b.archive_now()
    assert failures(b) == 0
    cluster.recovered(rows=range(1, ledger.acknowledged + 1))
    name = min(p.name for p in (c.data / "pg_wal").glob("00000002" + 16 * "?"))
    cluster.hosts["c"].archive(c.data / "pg_wal" / name, status=FAILED)


@pytest.mark.slow
def test_switchovers_and_back_by_rewind_and_by_restore_leave_every_moment_of_every_timeline_restorable(site):
    cluster = Cluster(site, ["b"], wal_log_hints="on")
    a, b, ledger = cluster.a, cluster.servers["b"], cluster.ledger
    marks = {}

    def mark(server, name):
        marks[name] = ledger.write(server, 5)
        server.sql("SELECT pg_create_restore_point(%s)", name)
        ledger.write(server, 5)
        server.archive_now()

    mark(a, "first")
    a.stop()
    promote(b)
    mark(b, "second")
    # the old primary was started by mistake and wrote what nobody else has
    a.start()
    a.sql("INSERT INTO ledger VALUES (3000000)")
    a.archive_now()
    a.stop()
    a.configure(restore_command=site.restore_command, primary_conninfo=b.conninfo, wal_retrieve_retry_interval="200ms")
    site.runtime.run([PG_BIN / "pg_rewind", "--target-pgdata", a.data, "--source-server", f"{b.conninfo} dbname=postgres", "-c",
                      f"--config-file={a.data}/postgresql.conf"])
    # what came over with the source's configuration is not this host's
    a.configure(restore_command=site.restore_command, archive_command=site.archive_command, primary_conninfo=b.conninfo)
    (a.data / "standby.signal").touch()
    site.runtime.own(a.data / "standby.signal")
    a.start()
    ledger.wait(a)
    b.stop()
    promote(a)
    assert timeline(a) == 3
    mark(a, "third")
    # the other way back: restored anew as a standby, which is promoted again
    host = cluster.hosts["b"]
    c = restore_standby(host, "--primary-conninfo", a.conninfo, directory="again", wal_log_hints="on")
    known = {p.name for p in (host.directory / "state/histories/main").glob("*/*")}
    assert known == {"00000002.history", "00000003.history"}, "the host does not remember which timelines are taken"
    c.start()
    ledger.wait(c)
    wait_until(lambda: streaming(a), "the restored standby to stream")
    a.stop()
    promote(c)
    assert timeline(c) == 4
    mark(c, "fourth")
    cluster.whole()
    for name, rows in marks.items():
        cluster.recovered("--target-name", name, rows=range(1, rows + 1))
    cluster.recovered(rows=range(1, ledger.acknowledged + 1))
    cluster.recovered("--target-timeline", "3", rows=range(1, marks["third"] + 6))
    cluster.recovered("--target-timeline", "1", rows=[*range(1, marks["first"] + 6), 3000000])
    windows = site.info()["windows"]
    assert {w["timeline"] for w in windows} == {1, 2, 3, 4}
