"""gap: a segment that archiving refuses has a way out that loses nothing, and recovery never ends silently at it."""

import re
import shutil
import time

import pytest

from harness import MB, Cluster, Site, flip_bit, wait_until
from reports import backed_up, fill, first_segment_of, findings, problems, segments

ABORT = set(range(126, 256)) - {143}
REASON = "disk 3 returned zeros, ticket 4711"


def spoil(path):
    flip_bit(path, MB // 2)


def gaps(site, repository=None):
    return [g for g in site.info(repository)["gaps"] if g["recorded"]]


@pytest.fixture
def stuck(runtime, place):
    """A running server in two repositories whose archiver is stuck at a segment that went bad on its disk."""
    site = Site(runtime, place / "site", repositories=("near", "far"))
    site.source = backed_up(site, segments=1)
    site.pgcairn("stop", "--reason", "to spoil a segment in peace")
    fill(site.source)
    site.bad = site.source.switch_wal()
    site.path = site.source.data / "pg_wal" / site.bad
    fill(site.source)
    site.source.switch_wal()
    site.good = place / "good"
    shutil.copy2(site.path, site.good)
    spoil(site.path)
    site.pgcairn("start")
    wait_until(lambda: f"pgcairn gap record {site.bad}" in site.source.log_text(), "the refusal and its remedy in the log", 90)
    return site


def record(site, status=0):
    return site.json("gap", "record", site.bad, "--reason", REASON, status=status)


def test_archiving_goes_on_and_the_window_breaks_until_the_next_backup(stuck):
    source = stuck.source
    dry = stuck.json("gap", "record", stuck.bad, "--reason", REASON, "--dry-run")
    assert dry["file"] == stuck.bad and dry["stored"] == 0
    assert not stuck.objects("clusters/*/gaps/**/*"), "a dry run stores nothing"
    last_good = source.value("SELECT pg_current_wal_lsn()")  # behind the gap
    made = record(stuck)
    assert (made["stored"], made["refused"] != "") == (2, True)
    later = source.archive_now()
    assert later in {p.name for p in segments(stuck, "far")}
    assert stuck.bad not in {p.name for p in segments(stuck, "near") + segments(stuck, "far")}

    for repository in ("near", "far"):
        gap, = gaps(stuck, repository)
        assert (gap["first"], gap["missing"], gap["reason"]) == (stuck.bad, 1, REASON)
        assert all(w["to_lsn"] <= made["start_lsn"] for w in stuck.info(repository)["windows"])
    assert REASON in stuck.pgcairn("info").stdout
    finding = problems(stuck)["gap"]
    assert finding["severity"] == "critical" and REASON in finding["what"]
    assert REASON in stuck.pgcairn("find", "--lsn", last_good, status=4).stderr
    assert REASON in stuck.refuse_restore("--dry-run", status={4})

    before = stuck.info("near")["windows"][0]["to_lsn"]
    assert stuck.pgcairn("find", "--lsn", stuck.backup["stop_lsn"]).stdout
    stuck.json("backup", "--full")
    assert "gap" not in problems(stuck, status=0), "what was given up lies before the newest backup"
    restored = stuck.restore("--target-timeline", "1")
    restored.start()
    restored.wait_promoted()
    assert before < made["end_lsn"]


def test_a_copy_stops_before_the_gap_and_never_crosses_it(stuck):
    made = record(stuck)
    fill(stuck.source)
    stuck.source.archive_now()
    window = stuck.info("near")["windows"][0]
    # to the last record in front of it: the plan is proved, and the server stops there
    said = stuck.pgcairn("find", "--lsn", window["to_lsn"], status=4).stderr
    assert REASON in said
    restored = stuck.restore("--target-immediate", "--target-action", "promote")
    # by hand, to the end: where the gap is the server stops, and says why
    auto = restored.data / "postgresql.auto.conf"
    auto.write_text("\n".join(line for line in auto.read_text().splitlines() if "recovery_target" not in line) + "\n")
    restored.start(status={0, 1})  # it may answer as a hot standby before it comes to the gap
    wait_until(lambda: not restored.running(), "the server to give up")
    log = restored.log_text()
    assert REASON in log and stuck.bad in log
    assert "archive recovery complete" not in log, "a silent early end"
    assert made["file"] == stuck.bad


def test_a_good_copy_closes_the_gap(stuck):
    record(stuck)
    later = stuck.source.archive_now()
    stuck.runtime.own(stuck.good)
    stuck.archive(stuck.good, stuck.bad)
    assert not stuck.info("near")["gaps"] and not stuck.info("far")["gaps"]
    assert {g["healed"] for g in stuck.json("gap", "list")["gaps"]} == {True}
    window = stuck.info("near")["windows"][0]
    assert window["to_lsn"] > record(stuck)["end_lsn"]
    restored = stuck.restore()
    restored.start()
    restored.wait_promoted()
    assert later in {p.name for p in segments(stuck)}


def test_a_backup_that_waits_for_a_segment_fails_when_it_is_given_up(stuck):
    record(stuck)
    stuck.source.archive_now()
    source = stuck.source
    source.configure(archive_command="/bin/false")
    source.value("SELECT pg_reload_conf()")
    started = time.monotonic()
    with open(stuck.directory / "said", "w+", encoding="utf-8") as said:
        process = stuck.runtime.popen(stuck.command("pgcairn", "backup", "--full", "--wal-timeout", "10min"), stdout=said, stderr=said)
        try:
            wait_until(lambda: "waiting for WAL segment" in (stuck.directory / "said").read_text(), "the backup to wait", 60)
            waits_for = re.search("waiting for WAL segment ([0-9A-F]{24})", (stuck.directory / "said").read_text())[1]
            copy = stuck.directory / waits_for
            stuck.runtime.run(["cp", source.data / "pg_wal" / waits_for, copy])
            spoil(copy)
            stuck.json("gap", "record", copy, "--reason", REASON)
            assert process.wait(timeout=60) not in (0, 75)
        finally:
            process.kill()
            process.wait()
    said = (stuck.directory / "said").read_text()
    assert f"{waits_for}, which the backup needs, was given up" in said and REASON in said and "take another backup" in said
    assert time.monotonic() - started < 120
    assert len(stuck.info("near")["backups"]) == 1


@pytest.fixture(scope="module")
def quiet(runtime):
    """Two repositories and a stopped server with three good segments that were never archived."""
    with runtime.place("gap") as place:
        site = Site(runtime, place / "site", repositories=("near", "far"))
        site.source = backed_up(site, segments=1)
        site.pgcairn("stop", "--reason", "to keep segments back")
        site.kept = []
        for _ in range(3):
            fill(site.source)
            site.kept.append(site.source.data / "pg_wal" / site.source.switch_wal())
        site.source.stop("immediate")
        site.pgcairn("start")
        yield site


@pytest.fixture
def held(quiet):
    """Repositories, pg_wal and configuration are put back as they were. site.path is a spoiled segment."""
    kept = quiet.directory / "kept"
    places = [quiet.directory / "repository", quiet.source.data / "pg_wal"]
    kept.mkdir()
    for path in places:
        quiet.runtime.run(["cp", "-a", path, quiet.directory / path.name.replace("_", "-").join(("kept-", ""))])
    quiet.path, quiet.bad = quiet.kept[0], quiet.kept[0].name
    spoil(quiet.path)
    yield quiet
    kept.rmdir()
    for path in places:
        shutil.rmtree(path)
        (quiet.directory / path.name.replace("_", "-").join(("kept-", ""))).rename(path)
    quiet.acknowledge = "all"
    quiet.write_config()


def test_exactly_this_content_under_this_name_is_let_go(held):
    held.archive(held.path, status=3)
    record(held)
    said = held.archive(held.path).stderr
    assert REASON in said
    shutil.copy2(held.path, held.kept[1])  # the same content under another name
    held.archive(held.kept[1], status=3)
    flip_bit(held.path, MB // 4)  # other content under the same name
    held.archive(held.path, status=3)


@pytest.mark.parametrize("damage", ["header", "short", "empty", "recycled"])
def test_whatever_is_wrong_with_it(held, damage):
    if damage == "header":
        flip_bit(held.path, 24)  # the system identifier
    elif damage == "recycled":
        shutil.copyfile(held.kept[2], held.path)
    else:
        with open(held.path, "r+b") as file:
            file.truncate(MB // 3 if damage == "short" else 0)
    said = held.archive(held.path, status=3).stderr
    assert f"gap record {held.bad}" in said
    size = held.path.stat().st_size
    assert record(held)["size"] == size
    held.archive(held.path)
    assert not findings(held, status=0)


def test_a_segment_that_is_fine_is_no_gap(held):
    said = held.pgcairn("gap", "record", held.kept[1].name, "--reason", REASON, status=4).stderr
    assert "can be archived" in said
    assert not held.objects("clusters/*/gaps/**/*")


def test_another_servers_segment_is_refused(held, runtime, place):
    raw = runtime.make_directory(place / "raw")
    other = Cluster.create(runtime, place / "other", fresh=True, archive_mode="on", archive_command=f"cp %p {raw}/%f")
    other.start()
    path = raw / other.archive_now()
    other.stop()
    spoil(path)
    said = held.pgcairn("gap", "record", path, "--reason", REASON, status=4).stderr
    assert "not in pg_wal" in said


@pytest.mark.parametrize("arguments, status, word", [
    (("record", "00000001000000000000FFFF", "--reason", "x"), 1, "00000001000000000000FFFF"),
    (("record", "README", "--reason", "x"), 2, "not the name"),
    (("record", "{bad}"), 2, "needs a reason"),
    (("record", "--reason", "x"), 2, "needs a segment"),
    (("record", "{bad}", "--reason", " "), 2, "reason is empty"),
    (("forget", "{bad}"), 2, "not known"),
    (("list", "{bad}"), 2, "not known"),
    (("record", "{history}", "--reason", "x"), 4, "cannot be given up"),
])
def test_what_is_no_gap_is_refused(held, arguments, status, word):
    history = held.directory / "00000002.history"
    history.write_text("nonsense\n")
    said = held.pgcairn("gap", *[a.format(bad=held.bad, history=history) for a in arguments], status=status).stderr
    assert word in said and "hint" in said
    assert not held.objects("clusters/*/gaps/**/*")


def test_recovery_is_stopped_with_the_reason_and_a_standby_waits(held):
    record(held)
    target = held.directory / "fetched"
    said = held.fetch(held.bad, target, status=ABORT).stderr
    assert REASON in said and "recorded gap" in said
    held.fetch(held.kept[1].name, target, status=1)  # its neighbour is simply missing
    signal = held.directory / "standby.signal"
    signal.touch()
    try:
        said = held.fetch(held.bad, target, status=1).stderr
        assert REASON in said
    finally:
        signal.unlink()
    assert not target.exists()


def test_a_gap_that_one_repository_has_is_seen_whoever_is_asked(held):
    held.acknowledge = "1"
    held.write_config()
    far = held.repositories["far"]
    far.rename(far.with_name("away"))
    assert record(held)["stored"] == 1
    held.archive(held.path)
    far.with_name("away").rename(far)
    held.fetch(held.bad, held.directory / "fetched", status=ABORT)


def test_a_silent_repository_hides_the_gaps_of_no_other(held):
    record(held)
    near, far = held.repositories["near"], held.repositories["far"]
    near.rename(near.with_name("away"))
    told = held.pgcairn("gap", "list", status=3)
    assert held.bad in told.stdout and "far" in told.stdout and "'near' is silent" in told.stderr
    report = held.json("gap", "list", status=3)
    assert [g["repository"] for g in report["gaps"]] == ["far"]
    assert [s["repository"] for s in report["silent"]] == ["near"] and report["silent"][0]["error"]["hint"]
    far.rename(far.with_name("gone"))
    assert "open the repository's directory" in held.pgcairn("gap", "list", status=1).stderr, "nobody answers"
    far.with_name("gone").rename(far)
    near.with_name("away").rename(near)
    assert held.json("gap", "list")["silent"] == []


def test_nothing_given_up_is_not_said_for_a_repository_that_is_silent(held):
    far = held.repositories["far"]
    far.rename(far.with_name("away"))
    assert "in the repositories that answer" in held.pgcairn("gap", "list", status=3).stdout
    far.with_name("away").rename(far)
    assert "in the" not in held.pgcairn("gap", "list").stdout


def test_it_is_recorded_in_as_many_repositories_as_must(held):
    far = held.repositories["far"]
    far.rename(far.with_name("away"))
    record_failed = held.pgcairn("gap", "record", held.bad, "--reason", REASON, status={1, 2}).stderr
    assert "acknowledge" in record_failed
    said = held.archive(held.path, status=set(range(1, 126))).stderr
    far.with_name("away").rename(far)
    said = held.archive(held.path, status=3).stderr
    assert "not every repository knows it" in said
    again = held.json("gap", "record", held.bad, "--reason", "another day")
    assert (again["stored"], again["existed"], again["reason"]) == (1, 1, REASON), "one decision, copied"
    near, far = (held.objects("clusters/*/gaps/*/*/*/record", r)[0] for r in ("near", "far"))
    assert near.read_bytes() == far.read_bytes()
    held.archive(held.path)


def test_the_same_again_is_success(held):
    record(held)
    again = held.json("gap", "record", str(held.path), "--reason", "another day")
    assert (again["stored"], again["existed"], again["reason"]) == (0, 2, REASON)
    assert len(held.objects("clusters/*/gaps/**/*")) == 2


@pytest.mark.parametrize("left", ["bytes", "record"])
def test_a_half_of_it_is_no_gap_and_is_completed(held, left):
    record(held)
    for repository in held.repositories:
        for path in held.objects("clusters/*/gaps/*/*/*/*", repository):
            if path.name != left:
                path.unlink()
    held.archive(held.path, status=3)
    held.json("gap", "record", held.bad, "--reason", REASON)
    held.archive(held.path)
    assert not findings(held, status=0)


def test_quarantined_bytes_are_encrypted_and_checked(held):
    record(held)
    stored, = held.objects("clusters/*/gaps/*/*/*/bytes")
    assert held.path.read_bytes()[8192:8256] not in stored.read_bytes()
    flip_bit(stored, stored.stat().st_size // 2)
    found, = findings(held)
    assert found["object"].endswith("/bytes") and found["kind"] == "damaged"


def test_a_record_that_is_damaged_is_a_gap_all_the_same(held):
    record(held)
    for repository in held.repositories:
        flip_bit(held.objects("clusters/*/gaps/*/*/*/record", repository)[0], -10)
    assert "not known" in gaps(held)[0]["reason"]
    assert held.json("gap", "list")["gaps"][0]["damaged"] is True
    held.fetch(held.bad, held.directory / "fetched", status=ABORT)
    held.archive(held.path, status=3)


def test_a_backup_that_begins_behind_it_does_not_need_it(held):
    record(held)
    assert first_segment_of(held, held.backup) < held.bad
    assert held.info()["backups"][0]["wal_complete"] is True
