"""The end of WAL was cut: high-water records tell it, wherever it was removed, and never what is only behind."""

import shutil

import pytest

from harness import Site, flip_bit
from reports import backed_up, fill, segments


@pytest.fixture(scope="module")
def kept(runtime):
    """Two repositories of a server that is stopped; the newest high-water record is of the newest backup's end."""
    with runtime.place("tail") as place:
        site = Site(runtime, place / "site", repositories=("near", "far"))
        source = backed_up(site, segments=2)
        site.first = site.info()["newest_segment"]
        fill(source)
        site.second_backup = site.json("backup", "--full")
        source.stop()
        site.place = place
        yield site


@pytest.fixture
def site(kept):
    top, away = kept.directory / "repository", kept.directory / "kept"
    kept.runtime.run(["cp", "-a", top, away])
    yield kept
    shutil.rmtree(top)
    away.rename(top)


def marks(site, repository):
    return site.objects(f"clusters/{site.name}/high-water/*/*/*/*", repository)


def cut(site, repository, keep=None):
    """Removes what came behind a segment, the first backup's end by default; the last of it."""
    gone = [p for p in segments(site, repository) if p.name > (keep or site.first)]
    for path in gone:
        path.unlink()
    return gone[-1].name


def remove_newest_backup(site, repository):
    shutil.rmtree(site.repositories[repository] / f"clusters/{site.name}/backup/{site.second_backup['label']}")


def tails(site, status=3):
    found = site.json("check", "--no-switch", status=status)["findings"]
    return {f.get("repository", ""): f for f in found if f["check"] == "tail" and f["severity"] in ("warning", "critical")}


def test_a_backup_leaves_a_record_in_every_repository_and_all_is_well(site):
    assert len(marks(site, "near")) == len(marks(site, "far")) == 2
    report = site.json("info")
    assert report["high_water_reached"] is True
    assert sorted(report["high_water"]["repositories"]) == ["far", "near"]
    assert all("tail_lost" not in r for r in report["repositories"])
    assert "LOST" not in site.pgcairn("info").stdout
    assert tails(site) == {}
    assert site.json("verify")["clean"]


def test_a_tail_that_was_cut_in_one_repository_is_told(site):
    last = cut(site, "far")
    remove_newest_backup(site, "far")
    found = tails(site)
    assert set(found) == {"far"} and found["far"]["severity"] == "critical" and last in found["far"]["what"]
    assert "cut or lost" in found["far"]["what"] and found["far"]["remedy"]
    report = site.json("info")
    assert report["high_water_reached"] is True
    assert ["tail_lost" in r for r in report["repositories"]] == [False, True]
    assert "repository far has LOST THE END of its WAL" in site.pgcairn("info").stdout


def test_a_tail_that_was_cut_in_both_is_told_as_long_as_one_record_is_there(site):
    for repository in ("near", "far"):
        cut(site, repository)
        remove_newest_backup(site, repository)
    for path in marks(site, "near"):
        path.unlink()
    found = tails(site)
    assert set(found) == {"", "near", "far"} and {f["severity"] for f in found.values()} == {"critical"}
    assert "no repository that answers" in found[""]["what"]
    assert site.json("info")["high_water_reached"] is False
    assert "NO REPOSITORY" in site.pgcairn("info").stdout
    for path in marks(site, "far"):
        path.unlink()
    assert tails(site) == {} and "high_water" not in site.json("info"), "whoever removes all of it is not found out"


def test_a_restore_of_the_latest_says_what_is_missing_and_is_made_all_the_same(site):
    for repository in ("near", "far"):
        cut(site, repository)
        remove_newest_backup(site, repository)
    dry = site.pgcairn("restore", "--pgdata", site.place / "dry", "--dry-run")
    assert "the end of WAL was cut or lost" in dry.stderr and "hint:" in dry.stderr
    assert site.json("restore", "--pgdata", site.place / "dry", "--dry-run")["tail_lost"]["lsn"]
    copy = site.restore(directory="restored")
    copy.start()
    copy.wait_promoted()
    assert copy.value("SELECT count(*) FROM t") > 0
    copy.stop()
    shutil.rmtree(copy.directory)


def test_a_restore_is_silent_about_a_tail_that_another_repository_has_or_that_was_not_asked_for(site):
    cut(site, "far")
    remove_newest_backup(site, "far")
    target = site.place / "dry"
    assert "cut or lost" not in site.pgcairn("restore", "--pgdata", target, "--dry-run").stderr
    assert "cut or lost" not in site.pgcairn("restore", "--pgdata", target, "--dry-run", "--repository", "near").stderr
    assert "cut or lost" in site.pgcairn("restore", "--pgdata", target, "--dry-run", "--repository", "far").stderr
    said = site.pgcairn("restore", "--pgdata", target, "--dry-run", "--repository", "far", "--target-immediate").stderr
    assert "cut or lost" not in said


def test_a_repository_that_was_down_is_behind_and_not_cut(runtime, place):
    site = Site(runtime, place / "site", repositories=("near", "far"))
    site.acknowledge = "1"
    source = backed_up(site, segments=1)
    near = site.repositories["near"]
    near.rename(near.with_name("away"))
    fill(source)
    site.json("backup", "--full", status={0, 1, 3})
    newest = site.json("info")["high_water"]
    assert newest["repositories"] == ["far"]
    near.with_name("away").rename(near)
    report = site.json("info")
    assert report["high_water"] == newest and report["high_water_reached"] is True
    assert "tail_lost" not in report["repositories"][0] and tails(site, status={0, 3}) == {}
    source.stop()
    far = site.repositories["far"]
    far.rename(far.with_name("gone"))
    found = tails(site)
    assert found == {}, "near knows of no more than it has: its own records are older"
    far.with_name("gone").rename(far)
    for path in marks(site, "far"):
        copy = near / path.relative_to(far)
        if not copy.exists():  # replicate may bring it along
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    runtime.own(near)
    far.rename(far.with_name("gone"))
    found = tails(site)
    assert set(found) == {""} and "bring the repository back that is silent" in found[""]["remedy"]


@pytest.mark.parametrize("spoil", ["flipped", "cut", "moved", "foreign"])
def test_records_that_cannot_be_believed_are_told_and_the_others_count(site, runtime, spoil):
    cut(site, "far")
    remove_newest_backup(site, "far")
    newest = marks(site, "near")[0]
    forged = newest.with_name("00000000")  # far ahead of all
    shutil.copy2(newest, forged)
    if spoil == "flipped":
        flip_bit(forged, -10)
    elif spoil == "cut":
        forged.chmod(0o600)
        forged.write_bytes(forged.read_bytes()[:50])
    elif spoil == "foreign":
        other = Site(runtime, site.place / "other")
        other.cluster().start()
        other.pgcairn("init")
        other.json("backup", "--full")
        forged.unlink()
        shutil.copy2(marks(other, "local")[0], forged)
    runtime.own(forged)
    found = tails(site)
    assert set(found) == {"near", "far"}
    assert found["near"]["severity"] == "warning" and "cannot be believed" in found["near"]["what"]
    assert "cut or lost" in found["far"]["what"], "the true one behind it counts"
    assert any(f["object"].startswith("high-water/") for f in site.json("verify", status=3)["findings"])


def test_a_store_that_does_not_give_its_records_does_not_hide_the_rest(site, runtime):
    if runtime.user is None:
        pytest.skip("needs root, so that the tests run as another user")
    newest = marks(site, "near")[0]
    folder = newest.parent
    folder.chmod(0)
    try:
        found = tails(site)
        assert set(found) == {""} and found[""]["severity"] == "warning" and "high-water records" in found[""]["what"]
        assert site.json("info")["repositories"][0]["backups"]
    finally:
        folder.chmod(0o700)
