"""replicate: a repository that was away gets the WAL that it missed from the others, or says why not."""

import shutil

import pytest

from harness import Site, flip_bit

NEAR, FAR, THIRD = "near", "far", "third"


PIECES = ("repository", "state", "keys", "pgcairn.conf")


@pytest.fixture(scope="module")
def stage(runtime):
    """Three repositories, of which far missed a backup and its WAL; the server is stopped."""
    with runtime.place("replicate") as place:
        site = Site(runtime, place / "site", repositories=(NEAR, FAR, THIRD))
        site.acknowledge = "1"
        cluster = site.cluster()
        site.pgcairn("init")
        cluster.start()
        away = site.directory / "away"
        site.repositories[FAR].rename(away)
        site.pgcairn("backup", status=1)  # far is missing
        for _ in range(2):
            cluster.sql("SELECT pg_logical_emit_message(false, 'x', repeat('x', 300000))")
            cluster.archive_now()
        cluster.stop()
        away.rename(site.repositories[FAR])
        for piece in PIECES:
            runtime.run(["cp", "-a", site.directory / piece, site.directory / f"{piece}.picture"])
        yield site


@pytest.fixture
def site(stage):
    """The same for every test."""
    yield stage
    for piece in PIECES:
        stage.runtime.run(["rm", "-rf", stage.directory / piece])
        stage.runtime.run(["cp", "-a", stage.directory / f"{piece}.picture", stage.directory / piece])
    for away in stage.directory.glob("away*"):
        shutil.rmtree(away)


def names(site, repository):
    top = site.repositories[repository]
    return {str(path.relative_to(top)) for path in site.objects("clusters/*/wal/**/*", repository)}


def keys(site, repository):
    return {path.parent.name for path in site.objects("clusters/*/keys/*/*", repository)}


def test_what_lacks_is_copied_without_any_key_of_the_host(site):
    """And a restore from that repository alone, with the backup of another, reads what was copied."""
    lacking = site.json("replicate", "--to", FAR, "--dry-run")
    marks = site.objects("clusters/*/high-water/*/*/*/*", NEAR)
    assert lacking["lacking"] == len(names(site, NEAR)) + len(marks) > 4 and lacking["lacking_since"] and lacking["heard_all"]
    assert not names(site, FAR) and not keys(site, FAR)
    for secret in ("identity", "comparison-key"):
        (site.keys / secret).unlink()
    (site.directory / "state/signing-key").unlink()
    done = site.json("replicate", "--to", FAR)
    assert (done["copied"], done["lacking"], done["found"]) == (lacking["lacking"], 0, 0)
    assert names(site, FAR) == names(site, NEAR)
    assert site.json("replicate", "--to", FAR)["copied"] == 0
    for name in names(site, NEAR):
        assert (site.repositories[FAR] / name).read_bytes() in {
            (site.repositories[r] / name).read_bytes() for r in (NEAR, THIRD)}


def test_what_was_copied_is_sound(site):
    site.pgcairn("replicate", "--to", FAR)
    report = site.json("verify", status={0, 3})
    assert not [f for f in report["findings"] if f["repository"] == FAR and "wal/" in f["object"]]
    for path in site.objects("clusters/*/wal/*/*/*/*", NEAR):
        if len(path.name) == 24:
            site.fetch(path.name, site.directory / "fetched", options=("--repository", FAR))
            site.fetch(path.name, site.directory / "other", options=("--repository", NEAR))
            assert (site.directory / "fetched").read_bytes() == (site.directory / "other").read_bytes()


def test_a_damaged_source_is_named_and_another_serves(site):
    victim = next(p for p in site.objects("clusters/*/wal/*/*/*/*", NEAR) if len(p.name) == 24)
    flip_bit(victim, 3000)
    done = site.json("replicate", "--to", FAR, status=3)
    assert done["lacking"] == 0 and done["found"] == 1
    (trouble,) = done["troubles"]
    assert trouble["repository"] == NEAR and trouble["object"].endswith(victim.name)
    assert trouble["error"]["kind"] == "corrupt" and "damaged" in trouble["error"]["message"]
    assert names(site, FAR) == names(site, THIRD)


def test_a_source_that_is_away_is_named_and_another_serves(site):
    site.repositories[NEAR].rename(site.directory / "away")
    done = site.json("replicate", "--to", FAR, status=3)
    assert done["lacking"] == 0 and not done["heard_all"]
    assert [t["repository"] for t in done["troubles"]] == [NEAR]
    assert names(site, FAR) == names(site, THIRD)


def test_without_any_source_nothing_is_called_done(site):
    for name in (NEAR, THIRD):
        site.repositories[name].rename(site.directory / f"away-{name}")
    said = site.pgcairn("replicate", "--to", FAR, status=1).stderr
    assert "nothing to copy from" in said and "hint" in said
    assert not names(site, FAR)


def test_a_target_that_is_another_repository_is_refused(site, runtime):
    """The directory was replaced by one that is not the one that init knew."""
    shutil.rmtree(site.repositories[FAR])
    runtime.run(["cp", "-a", site.repositories[THIRD], site.repositories[FAR]])
    said = site.pgcairn("replicate", "--to", FAR, status=2).stderr
    assert "has id" in said and "expected" in said


@pytest.mark.slow
@pytest.mark.limit(600)
def test_a_backlog_of_two_thousand_segments_ships_and_is_replicated(runtime, place):
    """With the server down, into one repository alone; then to the other, in bounded memory."""
    site = Site(runtime, place / "site", repositories=(NEAR, FAR))
    site.acknowledge = "1"
    cluster = site.cluster(archive_command="false")
    site.pgcairn("init")
    cluster.start()
    cluster.sql("DO $$ BEGIN FOR i IN 1..2000 LOOP PERFORM pg_logical_emit_message(false, 'x', repeat(md5(i::text), 900)); "
                "PERFORM pg_switch_wal(); END LOOP; END $$")
    cluster.stop()
    away = site.directory / "away"
    site.repositories[FAR].rename(away)
    site.pgcairn("agent", "--once", timeout=300)
    away.rename(site.repositories[FAR])
    assert len(names(site, NEAR)) >= 2000
    done = site.json("replicate", "--to", FAR, timeout=300)
    assert done["copied"] == len(names(site, NEAR)) and done["lacking"] == 0
    assert names(site, FAR) == names(site, NEAR)


def test_names_that_are_none_are_refused(site):
    assert "--to" in site.pgcairn("replicate", status=2).stderr
    assert "'nowhere'" in site.pgcairn("replicate", "--to", "nowhere", status=2).stderr
    assert "'nowhere'" in site.pgcairn("replicate", "--to", FAR, "--from", "nowhere", status=2).stderr
    assert "nothing to copy from" in site.pgcairn("replicate", "--to", FAR, "--from", FAR, status=2).stderr
    site.config.write_text(site.config_text().replace(f"[repository:{FAR}]\n", f"[repository:{FAR}]\nstate = lost\n"))
    assert "is lost" in site.pgcairn("replicate", "--to", FAR, status=2).stderr
    assert not names(site, FAR)
