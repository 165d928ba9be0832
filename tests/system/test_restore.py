"""What backup and restore do when repositories vanish, objects rot, keys are wrong, and the server breaks off."""

import shutil
import struct

import pytest

from harness import Site, flip_bit, wait_until
from proxy import Proxy, error_message

SUM = "SELECT count(*), coalesce(sum(id), 0) FROM t"


def fill(cluster, rows=100, filler=20):
    """Commit a batch of rows; what the table then holds."""
    cluster.sql("CREATE TABLE IF NOT EXISTS t (id bigserial, filler text)")
    cluster.sql("INSERT INTO t (filler) SELECT repeat('f', %s) FROM generate_series(1, %s)", filler, rows)
    return cluster.sql(SUM)


def backed_up(site, **options):
    """A running source, initialized, with rows before and after its first backup, all archived; and what it holds."""
    source = site.cluster(**options)
    source.start()
    site.pgcairn("init")
    fill(source)
    source.backup = site.json("backup", "--full")
    held = fill(source)
    source.archive_now()
    return source, held


def comes_back(cluster, held):
    cluster.start()
    cluster.wait_promoted()
    assert cluster.sql(SUM) == held


@pytest.fixture(scope="module")
def shared(runtime):
    """One source with one backup, stopped, for tests that only read or that spoil a copy of the repository."""
    with runtime.place("shared") as place:
        site = Site(runtime, place / "site")
        source, site.held = backed_up(site)
        site.backup = source.backup
        source.stop()
        yield site


@pytest.fixture
def spoilable(shared):
    """The shared site, whose repository is put back as it was."""
    repository = shared.repositories["local"]
    kept = repository.with_name("kept")
    shared.runtime.run(["cp", "-a", repository, kept])
    yield shared
    shutil.rmtree(repository, ignore_errors=True)
    kept.rename(repository)


def backup_objects(site, pattern, repository=None):
    found = site.objects(f"clusters/*/backup/*/{pattern}", repository)
    assert found
    return found


# Where a restore may write


@pytest.mark.parametrize("what", ["file", "directory", "data directory"])
def test_a_target_that_is_not_empty_is_refused_and_left_as_it_was(shared, runtime, place, what):
    target = runtime.make_directory(place / "target")
    if what == "file":
        (target / "notes.txt").write_text("mine")
    elif what == "directory":
        (target / "base").mkdir()
    else:
        runtime.run(["cp", "-a", runtime.template(), target / "x"])
        target = target / "x"
    before = sorted(p.relative_to(target) for p in target.rglob("*"))
    said = shared.pgcairn("restore", "--pgdata", target, status={1, 2, 4}).stderr
    assert str(target) in said
    assert sorted(p.relative_to(target) for p in target.rglob("*")) == before


def test_a_target_below_the_repository_is_refused(shared):
    target = shared.repositories["local"] / "data"
    shared.pgcairn("restore", "--pgdata", target, status={1, 2, 4})
    assert not target.exists()


def test_a_target_below_the_original_is_refused(shared):
    target = shared.pgdata / "restored"
    assert "lies in the original's PGDATA" in shared.pgcairn("restore", "--pgdata", target, status=4).stderr
    assert not target.exists()


def test_a_file_in_the_place_of_the_target_is_refused(shared, runtime, place):
    target = place / "target"
    target.write_text("mine")
    runtime.own(target)
    shared.pgcairn("restore", "--pgdata", target, status={1, 2, 4})
    assert target.read_text() == "mine"


def test_the_restored_directory_is_private(shared, runtime):
    cluster = shared.restore(directory="private")
    assert cluster.data.stat().st_mode & 0o7777 == 0o700
    assert (cluster.data / "global/pg_control").stat().st_mode & 0o7777 == 0o600
    runtime.clear(cluster.directory)


# Repositories that vanish


def test_recovery_aborts_when_the_repository_vanishes_and_ends_well_when_it_is_back(site):
    source, _ = backed_up(site)
    for _ in range(30):
        held = fill(source, rows=400, filler=1000)
        source.switch_wal()
    source.archive_now()
    source.stop()
    restored = site.restore()
    restored.start_without_waiting()
    wait_until(lambda: restored.log_text().count("restored log file") >= 4, "the first segments to be replayed")
    repository = site.repositories["local"]
    repository.rename(repository.with_name("away"))
    wait_until(lambda: not restored.running(), "recovery to abort")
    log = restored.log_text()
    assert "archive recovery complete" not in log
    assert "selected new timeline" not in log
    assert not list((restored.data / "pg_wal").glob("*.history"))
    restored.start(status={1})
    assert "selected new timeline" not in restored.log_text()
    repository.with_name("away").rename(repository)
    comes_back(restored, held)


def test_one_of_two_gone_for_good_is_refused_with_the_way_out_which_then_works(two_repositories):
    source, held = backed_up(two_repositories)
    source.stop()
    shutil.rmtree(two_repositories.repositories["far"])
    assert "--without-repository" in two_repositories.refuse_restore()
    restored = two_repositories.restore("--without-repository", "far")
    comes_back(restored, held)


def test_every_repository_left_out_is_refused(two_repositories):
    source, _ = backed_up(two_repositories)
    source.stop()
    two_repositories.refuse_restore("--without-repository", "near", "--without-repository", "far")
    two_repositories.refuse_restore("--without-repository", "nowhere", status={2})


def test_each_of_two_repositories_restores_alone(two_repositories):
    source, held = backed_up(two_repositories)
    source.stop()
    for left_out in ("near", "far"):
        path = two_repositories.repositories[left_out]
        path.rename(path.with_name("away"))
        comes_back(two_repositories.restore("--without-repository", left_out, directory=f"without-{left_out}"), held)
        path.with_name("away").rename(path)


def test_init_refuses_a_repository_where_it_would_be_lost_with_the_data(site, place):
    cluster = site.cluster()
    cluster.start()
    for bad in (cluster.data / "backups", cluster.data, cluster.data.parent, site.directory / "state" / "repository"):
        site.repositories["local"] = bad
        site.write_config()
        site.pgcairn("init", status={1, 2, 4})
        assert not (bad / "pgcairn.json").exists()
    cluster.stop()
    wal = place / "wal"  # pg_wal as a link to a disk of its own
    (cluster.data / "pg_wal").rename(wal)
    (cluster.data / "pg_wal").symlink_to(wal)
    cluster.start()
    for bad in (wal / "backups", wal):
        site.repositories["local"] = bad
        site.write_config()
        assert "pg_wal" in site.pgcairn("init", status=4).stderr
        assert not (bad / "pgcairn.json").exists()


def test_init_makes_no_second_key_and_prints_none(shared):
    keys = {p: p.read_bytes() for p in shared.keys.iterdir()}
    said = shared.pgcairn("init", status={0, 1})
    assert {p: p.read_bytes() for p in shared.keys.iterdir()} == keys
    secret = (shared.keys / "identity").read_text().split()[-1]
    assert secret not in said.stdout + said.stderr


# Objects that rot


@pytest.mark.parametrize("where", [0, 10, 100, 0.2, 0.5, 0.8, -100, -10, -1])
@pytest.mark.parametrize("kind", ["pack-*", "manifest-*"])
def test_a_flipped_bit_in_a_backup_fails_the_restore_and_is_found_by_verify(spoilable, runtime, kind, where):
    spoiled = backup_objects(spoilable, kind)[0]
    flip_bit(spoiled, where if isinstance(where, int) else int(spoiled.stat().st_size * where))
    target = spoilable.directory / "target"
    spoilable.pgcairn("restore", "--pgdata", target, status={1, 3, 4})
    assert not (target / "global/pg_control").exists(), "what failed half-way can start"
    assert spoiled.name in spoilable.pgcairn("verify", status={3}).stdout
    runtime.clear(target)


@pytest.mark.parametrize("keep", [0, 1, 50, 0.5, -1])
@pytest.mark.parametrize("kind", ["pack-*", "manifest-*"])
def test_a_truncated_object_of_a_backup_fails_the_restore(spoilable, runtime, kind, keep):
    spoiled = backup_objects(spoilable, kind)[-1]
    size = spoiled.stat().st_size
    spoiled.chmod(0o600)
    with open(spoiled, "r+b") as file:
        file.truncate(int(size * keep) if isinstance(keep, float) else keep if keep >= 0 else size + keep)
    target = spoilable.directory / "target"
    spoilable.pgcairn("restore", "--pgdata", target, status={1, 3, 4})
    assert not (target / "global/pg_control").exists()
    spoilable.pgcairn("verify", status={3})
    runtime.clear(target)


def test_a_missing_pack_is_found(spoilable, runtime):
    backup_objects(spoilable, "pack-*")[0].unlink()
    spoilable.pgcairn("verify", status={3})
    target = spoilable.directory / "target"
    spoilable.pgcairn("restore", "--pgdata", target, status={1, 3, 4})
    assert not (target / "global/pg_control").exists()
    runtime.clear(target)


def test_without_its_manifest_a_backup_does_not_exist(spoilable):
    for manifest in backup_objects(spoilable, "manifest-*"):
        manifest.unlink()
    assert spoilable.info()["backups"] == []
    spoilable.refuse_restore()


def test_a_hole_in_the_wal_is_named_before_the_disk_is_touched(spoilable):
    segments = spoilable.objects("clusters/*/wal/*/*/*/*")
    hole = [p for p in segments if len(p.name) == 24][-2]
    hole.unlink()
    assert hole.name in spoilable.refuse_restore()


def test_a_bad_segment_is_found_by_verify(spoilable):
    segment = [p for p in spoilable.objects("clusters/*/wal/*/*/*/*") if len(p.name) == 24][-1]
    flip_bit(segment, 300)
    assert segment.name in spoilable.pgcairn("verify", status={3}).stdout


def test_a_damaged_repository_is_left_out_for_the_whole_one(two_repositories):
    source, held = backed_up(two_repositories)
    source.stop()
    flip_bit(backup_objects(two_repositories, "pack-*", "near")[0], 5000)
    comes_back(two_repositories.restore("--without-repository", "near"), held)


def frame_offsets(path):
    """Where the frames of an object begin, as docs/repository-format.md says."""
    data = path.read_bytes()
    header, frames, clear, sealed, signature = struct.unpack("<5I", data[-72:-52])
    table = len(data) - 80 - signature - sealed - clear - 40 * frames
    lengths = [int.from_bytes(data[table + 40 * i:table + 40 * i + 4], "little") for i in range(frames)]
    return [header + sum(lengths[:i]) for i in range(frames)]


def test_two_damaged_repositories_make_good_for_each_other_frame_by_frame(two_repositories):
    source, held = backed_up(two_repositories)
    source.stop()
    near, far = (backup_objects(two_repositories, "pack-*", name)[0] for name in ("near", "far"))
    at = frame_offsets(near)
    for damaged, frames in ((near, (0, 5, 6)), (far, (1, 4, 7))):
        for frame in frames:
            flip_bit(damaged, at[frame] + 100)
    comes_back(two_repositories.restore(), held)
    flip_bit(far, at[0] + 100)  # now nobody has the first one
    said = two_repositories.pgcairn("restore", "--pgdata", two_repositories.directory / "second", status={1, 3}).stderr
    assert "frame 0 has other bytes" in said


# Keys


def test_no_identity_is_refused_with_a_hint(spoilable):
    identity = spoilable.keys / "identity"
    away = identity.with_name("away")
    identity.rename(away)
    try:
        assert "identity" in spoilable.refuse_restore()
        spoilable.json("info")
    finally:
        away.rename(identity)


@pytest.mark.parametrize("content", ["another's", "", "garbage\n", "AGE-SECRET-KEY-1QQQ\n"])
def test_a_wrong_identity_is_refused(spoilable, runtime, place, content):
    identity = spoilable.keys / "identity"
    right = identity.read_bytes()
    if content == "another's":
        other = Site(runtime, place / "other")
        cluster = other.cluster()
        cluster.start()
        other.pgcairn("init")
        content = (other.keys / "identity").read_text()
    try:
        identity.write_text(content)
        assert spoilable.refuse_restore().strip()
    finally:
        identity.write_bytes(right)


def test_an_identity_that_others_may_read_is_refused(spoilable):
    identity = spoilable.keys / "identity"
    identity.chmod(0o644)
    try:
        assert "identity" in spoilable.refuse_restore()
    finally:
        identity.chmod(0o600)


def test_no_secret_is_printed(shared):
    secrets = [line for name in ("identity", "comparison-key") for line in (shared.keys / name).read_text(errors="replace").split()
               if len(line) > 30 and not line.startswith("#")]
    for args in (("info",), ("info", "--json"), ("verify",), ("--help",)):
        said = shared.pgcairn(*args)
        for secret in secrets:
            assert secret not in said.stdout + said.stderr


# Servers that break off


def spoil_after_data(how):
    """Spoils the end of a base backup, after all data, manifest and end position were sent."""
    state = {"copy done": False}

    def spoil(message):
        kind = message[:1]
        if kind == b"c":
            state["copy done"] = True
        if state["copy done"] and kind == b"C":
            return error_message("XX001", "checksum verification failure during base backup") if how == "error" else None
        return message

    return spoil


@pytest.mark.parametrize("how", ["error", "closed"])
def test_a_stream_that_breaks_off_after_all_data_makes_no_backup(site, runtime, place, how):
    source, _ = backed_up(site)
    before = len(site.info()["backups"])
    proxy = Proxy(runtime.make_directory(place / "p", 0o755), source.directory, spoil_after_data(how))
    try:
        site.conninfo = f"host={place / 'p'} port=5432 user=postgres"
        site.write_config()
        assert site.pgcairn("backup", "--full", status={1}).stderr.strip()
    finally:
        proxy.close()
    assert len(site.info()["backups"]) == before


def test_a_server_that_is_not_there_fails_the_backup(site):
    source, _ = backed_up(site)
    source.stop()
    assert site.pgcairn("backup", "--full", status={1}).stderr.strip()


def test_a_page_with_a_bad_checksum_is_named_and_the_backup_kept(site):
    source = site.cluster()
    source.start()
    site.pgcairn("init")
    fill(source, rows=5000)
    relation = source.value("SELECT pg_relation_filepath('t')")
    source.stop()
    flip_bit(source.data / relation, 3 * 8192 + 4000)
    source.start()
    result = site.pgcairn("backup", "--full", "--json", status={3})
    assert relation in result.stderr
    assert len(site.info()["backups"]) == 1


# Clusters with a past


def test_a_cluster_that_was_restored_before_is_backed_up_and_restored_again(site):
    source, _ = backed_up(site)
    source.stop()
    second = site.restore("--adopt", directory="second")
    site.use(second)
    second.start()
    second.wait_promoted()
    held = fill(second)
    second.archive_now()
    second.stop()
    third = site.restore("--adopt", directory="third")  # from the first backup, over the fork, to the new timeline's end
    site.use(third)
    comes_back(third, held)
    site.json("backup", "--full")
    held = fill(third)
    third.archive_now()
    third.stop()
    comes_back(site.restore(directory="fourth"), held)


def test_a_copy_that_promoted_does_not_write_into_the_repository(site):
    source, _ = backed_up(site)
    source.stop()
    before = site.objects("**/*")
    copy = site.restore()
    copy.start()
    copy.wait_promoted()
    fill(copy)
    copy.sql("SELECT pg_switch_wal()")
    copy.stop()
    assert [p for p in site.objects("**/*") if p not in before and "/wal/" in str(p)] == []


def test_a_tablespace_goes_where_it_is_told(site, runtime, place):
    source = site.cluster()
    source.start()
    site.pgcairn("init")
    space = runtime.make_directory(place / "space")
    source.sql(f"CREATE TABLESPACE aside LOCATION '{space}'")
    source.sql("CREATE TABLE elsewhere TABLESPACE aside AS SELECT generate_series(1, 1000) AS i")
    oid = source.value("SELECT oid FROM pg_tablespace WHERE spcname = 'aside'")
    held = fill(source)
    site.json("backup", "--full")
    source.archive_now()
    source.stop()
    site.refuse_restore(status={1, 2, 4})  # the old place is taken
    target = place / "other-space"
    restored = site.restore("--tablespace", f"{oid}={target}")
    comes_back(restored, held)
    assert restored.value("SELECT count(*) FROM elsewhere") == 1000
    assert restored.value("SELECT pg_tablespace_location(%s)", oid) == str(target)


def test_check_is_content_with_a_fresh_backup_and_finds_broken_archiving(site):
    source, _ = backed_up(site)
    site.pgcairn("check")
    site.json("check")
    source.sql("ALTER SYSTEM SET archive_command = '/bin/false'")
    source.sql("SELECT pg_reload_conf()")
    assert site.pgcairn("check", status={3}, timeout=180).stdout.strip()


def test_without_encryption_it_says_so_everywhere(site):
    source = site.cluster()
    site.write_config(site.config_text().replace("conninfo =", "encryption = none\nconninfo ="))
    source.start()
    said = site.pgcairn("init")
    assert "encrypt" in said.stdout + said.stderr
    fill(source)
    assert "encryption = none" in site.pgcairn("backup", "--full").stderr
    held = fill(source)
    source.archive_now()
    source.stop()
    assert "encrypt" in site.pgcairn("info").stdout
    assert "encrypt" in (lambda said: said.stdout + said.stderr)(site.pgcairn("check", status=None))
    assert "encryption = none" in site.pgcairn("restore", "--pgdata", site.directory / "dry", "--dry-run").stderr
    assert "encryption = none" in source.log_text(), "the server's log does not show it"
    comes_back(site.restore(), held)


def test_an_in_place_tablespace_is_refused_because_the_server_does_not_send_it(site):
    source = site.cluster(allow_in_place_tablespaces="on")
    source.start()
    site.pgcairn("init")
    source.sql("CREATE TABLESPACE inside LOCATION ''")
    said = site.pgcairn("backup", status=2).stderr
    assert "'inside'" in said and "allow_in_place_tablespaces" in said
    source.sql("DROP TABLESPACE inside")
    site.pgcairn("backup")


def test_an_unfinished_restore_is_named_as_what_it_is(spoilable, runtime, place):
    target = runtime.make_directory(place / "unfinished")
    (target / "pgcairn.restore.json").write_text("{}\n")
    runtime.own(target)
    said = spoilable.pgcairn("restore", "--pgdata", target, status={4}).stderr
    assert "did not finish" in said and "remove it" in said
    assert [p.name for p in target.iterdir()] == ["pgcairn.restore.json"]
