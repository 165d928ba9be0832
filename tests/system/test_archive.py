"""What the archive command and the restore command do with good input, bad input and bad luck.

The source server archives with cp; its segments are then given to the commands by hand, as they are or spoiled.
"""

import re
import shutil

import pytest

from harness import MB, Cluster, Site, flip_bit, wait_until

FAILED = set(range(1, 126))  # the server tries again
ABORT = set(range(126, 256)) - {143}  # the server aborts recovery
MARK = b"a record in the middle of the segment "


class Source:
    """A server with plain copies of its first closed segments."""

    def __init__(self, runtime, place, **options):
        self.raw = runtime.make_directory(place / "raw")
        self.cluster = Cluster.create(runtime, place / "source", archive_mode="on",
                                      archive_command=f"cp %p {self.raw}/%f", **options)
        self.cluster.start()

    def segment(self, text="x"):
        """Write about half a segment of records and close it; the path of its copy."""
        payload = MARK.decode() + text + "." * 2000
        self.cluster.sql("SELECT pg_logical_emit_message(false, 'test', %s) FROM generate_series(1, 200)", payload)
        return self.raw / self.cluster.archive_now()


@pytest.fixture(scope="module")
def source(runtime):
    with runtime.place("source") as place:
        yield Source(runtime, place)


@pytest.fixture(scope="module")
def segment(source):
    return source.segment()


@pytest.fixture
def ready(site, source):
    """A site for the source, initialized."""
    site.use(source.cluster)
    site.pgcairn("init")
    return site


@pytest.fixture
def ready_two(two_repositories, source):
    two_repositories.use(source.cluster)
    two_repositories.pgcairn("init")
    return two_repositories


def spoiled(site, path, name=None):
    """A copy of a segment to spoil."""
    copy = site.directory / (name or path.name)
    shutil.copy(path, copy)
    site.runtime.own(copy)
    return copy


def is_stored(site, path, repository=()):
    """The restore command gives the same bytes back."""
    target = site.directory / "fetched"
    site.fetch(path.name, target, options=[w for r in repository for w in ("--repository", r)])
    assert target.read_bytes() == path.read_bytes()
    target.unlink()


def is_missing(site, name):
    target = site.directory / "fetched"
    site.fetch(name, target, status=1)
    assert not target.exists()


def aborts(site, name, **options):
    """The restore command answers that it cannot know, and leaves nothing behind."""
    target = site.directory / "fetched"
    said = site.fetch(name, target, status=ABORT, **options).stderr
    assert not target.exists()
    assert said.strip()
    return said


def refused(site, path, name=None, stored=False):
    """The archive command fails, says why and names the file; a fetch then finds no such object."""
    said = site.archive(path, name, status=FAILED).stderr
    assert (name or path.name) in said
    if not stored:
        is_missing(site, name or path.name)
    return said


def conflicts(site, repository=None):
    return site.info(repository)["conflicts"]


# What goes well


def test_what_was_archived_comes_back_byte_for_byte(ready, segment):
    ready.archive(segment)
    is_stored(ready, segment)


def test_the_server_archives_by_itself(site):
    cluster = site.cluster()
    cluster.start()
    site.pgcairn("init")
    name = cluster.archive_now()
    assert site.segment_object(name)
    assert cluster.value("SELECT failed_count FROM pg_stat_archiver") <= 3


@pytest.mark.parametrize("segment_mb", [16, pytest.param(64, marks=pytest.mark.slow), pytest.param(1024, marks=pytest.mark.slow)])
def test_segments_of_other_sizes(site, runtime, place, segment_mb):
    source = Source(runtime, place, segment_mb=segment_mb)
    site.use(source.cluster)
    site.pgcairn("init")
    path = source.segment()
    assert path.stat().st_size == segment_mb * MB
    site.archive(path)
    is_stored(site, path)


def test_a_segment_of_a_newer_major_is_taken_as_it_is_and_said_to_be_unverified(ready, segment):
    newer = bytearray(segment.read_bytes())
    for page in range(0, len(newer), 8192):
        newer[page:page + 2] = b"\x21\xd1"
    newer[5000] ^= 1  # nothing but its first page's header is looked at
    path = ready.directory / segment.name
    path.write_bytes(newer)
    ready.runtime.own(path)
    said = ready.archive(path).stderr
    assert "unverified" in said and "D121" in said and segment.name in said
    is_stored(ready, path)
    assert "unverified" not in ready.archive(path).stderr, "the same again is told again"
    ready.pgcairn("verify")


def test_a_record_over_several_segments_is_taken_piece_by_piece(ready, source):
    name = source.cluster.value("SELECT pg_walfile_name(pg_switch_wal())")
    source.cluster.sql("SELECT pg_logical_emit_message(false, 'big', repeat('z', 3200000))")
    source.cluster.archive_now()
    pieces = [p for p in sorted(source.raw.iterdir()) if p.name > name and len(p.name) == 24]
    assert len(pieces) >= 4
    for piece in pieces:
        ready.archive(piece)
    for piece in pieces:
        is_stored(ready, piece)


def test_a_history_and_a_backup_file_are_taken(ready, source):
    history = ready.directory / "00000002.history"
    history.write_text("1\t0/3000000\tno recovery target specified\n")
    connection = source.cluster.connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backup_start('by hand', true)")
        cursor.execute("SELECT pg_backup_stop()")
    connection.close()
    label = wait_until(lambda: sorted(source.raw.glob("*.backup")), "the backup's own file")[-1]
    for path in (history, label):
        ready.archive(path)
        is_stored(ready, path)


def test_a_partial_segment_is_taken_and_never_answers_for_the_whole_one(ready, segment):
    partial = spoiled(ready, segment, segment.name + ".partial")
    ready.archive(partial)
    is_missing(ready, segment.name)


def test_a_missing_name_is_missing(ready, segment):
    is_missing(ready, segment.name)
    is_missing(ready, "00000002.history")


# The same again


def test_the_same_again_is_success(ready, segment):
    for _ in range(3):
        ready.archive(segment)
    assert not conflicts(ready)
    is_stored(ready, segment)


def test_the_same_after_a_new_epoch_is_success(ready, source, segment):
    """A backup ends the epoch, so that the retry encodes the segment under another key."""
    ready.archive(segment)
    source.cluster.configure(archive_command=ready.archive_command)
    source.cluster.sql("SELECT pg_reload_conf()")
    try:
        ready.json("backup", "--full")
    finally:
        source.cluster.configure(archive_command=f"cp %p {source.raw}/%f")
        source.cluster.sql("SELECT pg_reload_conf()")
    ready.archive(segment)
    assert not conflicts(ready)
    is_stored(ready, segment)


def test_the_same_from_the_same_host_without_its_state_is_success(ready, segment):
    ready.archive(segment)
    caches = [p for p in (ready.directory / "state").rglob("*") if p.is_file() and "key" not in p.name and "sign" not in p.name]
    for path in caches:
        path.unlink()
    ready.archive(segment)
    assert not conflicts(ready)


def test_the_same_from_a_second_host_with_an_empty_state_directory_is_success(ready, source, segment, runtime, place):
    ready.archive(segment)
    second = Site(runtime, place / "second", keys=place / "second-keys")
    second.repositories = ready.repositories
    for name in ("recipients", "comparison-key"):
        shutil.copy2(ready.keys / name, second.keys)
    runtime.own(second.keys)
    second.use(source.cluster)
    second.pgcairn("init", "--join")
    assert not (second.keys / "identity").exists(), "a joining host made an identity"
    hint = second.archive(segment, status=FAILED).stderr
    ready.pgcairn("key", "enrol", re.search(r"ed25519:\S+", hint)[0])
    second.archive(segment)
    assert not conflicts(ready)
    is_stored(ready, segment)


def test_a_retry_completes_the_repository_that_was_away(ready_two, segment):
    near, far = ready_two.repositories.values()
    far.rename(far.with_name("away"))
    ready_two.archive(segment, status=FAILED)
    assert not far.exists(), "an absent repository was made anew"
    far.with_name("away").rename(far)
    ready_two.archive(segment)
    for name in ("near", "far"):
        is_stored(ready_two, segment, repository=[name])
        assert not conflicts(ready_two, name)


def test_one_of_two_is_enough_when_the_policy_says_one(ready_two, segment):
    ready_two.acknowledge = "1"
    ready_two.write_config()
    far = ready_two.repositories["far"]
    far.rename(far.with_name("away"))
    ready_two.archive(segment)
    is_stored(ready_two, segment, repository=["near"])


# Segments that are not what they should be


def test_a_foreign_clusters_segment_is_refused(ready, runtime, place):
    foreign = Source(runtime, place, fresh=True)
    said = refused(ready, foreign.segment())
    assert "system identifier" in said


def test_a_recycled_segment_is_refused(ready, source, segment):
    """The file was renamed for reuse, its pages still say where they were written first."""
    later = source.segment("later")
    refused(ready, spoiled(ready, segment, later.name))


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, MB // 2, MB - 1, MB + 1])
def test_a_segment_of_the_wrong_size_is_refused(ready, segment, size):
    copy = spoiled(ready, segment)
    with open(copy, "r+b") as file:
        file.truncate(size)
    refused(ready, copy)


@pytest.mark.parametrize("where", [
    "payload", "payload's end", "record length", "previous record", "record CRC", "magic", "timeline", "address",
    "system identifier",
])
def test_a_flipped_bit_is_refused(ready, segment, where):
    copy = spoiled(ready, segment)
    payload = next(m.start() for m in re.finditer(MARK, copy.read_bytes()) if m.start() > MB // 8 and 200 < m.start() % 8192 < 5000)
    header = payload - 58  # 24 of the record, 5 of its data header, 24 of the message, 5 of its prefix
    flip_bit(copy, {"payload": payload, "payload's end": payload + 1500, "record length": header, "previous record": header + 8,
                    "record CRC": header + 20, "magic": 0, "timeline": 4, "address": 8192 + 8, "system identifier": 24}[where])
    refused(ready, copy)


def test_a_segment_that_loses_its_second_half_to_zeroes_is_refused(ready, source):
    source.cluster.sql("SELECT pg_switch_wal()")
    source.cluster.sql("SELECT pg_logical_emit_message(false, 'full', repeat('f', 1000)) FROM generate_series(1, 2000)")
    source.cluster.archive_now()
    whole = next(p for p in sorted(source.raw.iterdir(), reverse=True)
                 if len(p.name) == 24 and p.read_bytes()[-5000:].count(0) < 2500)
    copy = spoiled(ready, whole)
    with open(copy, "r+b") as file:
        file.seek(MB // 2)
        file.write(bytes(MB // 2))
    refused(ready, copy)


@pytest.mark.parametrize("name", [
    "", "x", "../evil", "/etc/passwd", "00000001000000000000000", "0000000100000000000000011", "00000001000000000000000g",
    "00000001000000000000000a", "000000010000000000000001.gz", "000000010000000000000001.00000028", "00000001.histor",
    "0000000100000000000000ZZ", "000000000000000000000001", "." * 24, "0" * 300,
], ids=lambda name: repr(name[:30]))
def test_a_name_that_is_no_wal_file_is_refused(ready, segment, name):
    ready.archive(segment, name, status=FAILED)
    stored = ready.objects("clusters/*/wal/**/*")
    assert not stored


def test_a_file_that_is_not_there_is_refused(ready, segment):
    refused(ready, ready.directory / segment.name)


def test_a_directory_is_refused(ready, segment):
    (ready.directory / segment.name).mkdir()
    refused(ready, ready.directory / segment.name)


def test_other_content_under_one_name_is_a_conflict_and_the_first_stays(ready, source, runtime, place):
    """Two clusters grown from one data directory: the same identifier, the same names, other records."""
    twin = Source(runtime, place)
    theirs = twin.segment("theirs")
    while not (source.raw / theirs.name).exists():
        source.segment("ours")
    ours = source.raw / theirs.name
    assert ours.read_bytes() != theirs.read_bytes()
    ready.archive(ours)
    said = refused(ready, theirs, stored=True)
    assert "conflict" in said
    is_stored(ready, ours)
    assert any(ours.name in str(c) for c in conflicts(ready))
    assert ready.objects(f"clusters/*/conflict/**/{ours.name}/*") or ready.objects("clusters/*/conflict/**/*")
    ready.archive(ours)


def test_another_history_under_one_name_is_a_conflict(ready):
    history = ready.directory / "00000002.history"
    history.write_text("1\t0/3000000\tfirst promotion\n")
    ready.archive(history)
    first = history.read_bytes()
    history.write_text("1\t0/3000000\tsecond promotion\n")
    ready.archive(history, status=FAILED)
    ready.fetch(history.name, ready.directory / "fetched")
    assert (ready.directory / "fetched").read_bytes() == first


# Repositories that are not what they should be


def test_without_its_marker_a_repository_is_an_error_and_not_empty(ready, segment):
    ready.archive(segment)
    marker = ready.repositories["local"] / "pgcairn.json"
    marker.rename(ready.directory / "marker")
    ready.archive(segment, status=FAILED)
    aborts(ready, segment.name)
    aborts(ready, "00000002.history")
    (ready.directory / "marker").rename(marker)
    is_stored(ready, segment)


@pytest.mark.parametrize("text", ["", "{", "{}", "null", '{"id": 7}', "x" * 100000], ids=lambda text: repr(text[:20]))
def test_a_spoiled_marker_is_an_error(ready, segment, text):
    marker = ready.repositories["local"] / "pgcairn.json"
    marker.unlink()
    marker.write_text(text)
    ready.runtime.own(marker)
    ready.archive(segment, status=FAILED)
    aborts(ready, segment.name)


def test_a_foreign_marker_is_an_error(ready, source, segment, runtime, place):
    other = Site(runtime, place / "other")
    other.use(source.cluster)
    other.pgcairn("init")
    ready.archive(segment)
    own = ready.repositories["local"]
    own.rename(own.with_name("own"))
    other.repositories["local"].rename(own)
    ready.archive(segment, status=FAILED)
    aborts(ready, segment.name)


def test_a_repository_that_vanished_is_not_empty(ready, segment):
    repository = ready.repositories["local"]
    repository.rename(repository.with_name("away"))
    ready.archive(segment, status=FAILED)
    aborts(ready, segment.name)
    aborts(ready, "00000002.history")
    repository.mkdir()  # as an unmounted network directory looks
    ready.runtime.own(repository)
    ready.archive(segment, status=FAILED)
    aborts(ready, segment.name)


def test_missing_in_one_and_unreadable_in_the_other_is_not_missing(ready_two, segment):
    ready_two.archive(segment)
    ready_two.segment_object(segment.name, "near").unlink()
    is_stored(ready_two, segment)
    far = ready_two.repositories["far"]
    far.rename(far.with_name("away"))
    aborts(ready_two, segment.name)
    target = ready_two.directory / "fetched"
    ready_two.fetch(segment.name, target, status=1, options=("--repository", "near"))


def test_one_repository_is_enough_to_deliver(ready_two, segment):
    ready_two.archive(segment)
    near = ready_two.repositories["near"]
    near.rename(near.with_name("away"))
    is_stored(ready_two, segment)


@pytest.mark.parametrize("place_in_object", [0, 5, 40, 200, 0.3, 0.5, 0.9, -200, -40, -5, -1])
def test_a_flipped_bit_in_an_object_aborts(ready, segment, place_in_object):
    ready.archive(segment)
    stored = ready.segment_object(segment.name)
    offset = place_in_object if isinstance(place_in_object, int) else int(stored.stat().st_size * place_in_object)
    flip_bit(stored, offset)
    said = aborts(ready, segment.name)
    assert segment.name in said


@pytest.mark.parametrize("keep", [0, 1, 100, 0.5, -1])
def test_a_truncated_object_aborts(ready, segment, keep):
    ready.archive(segment)
    stored = ready.segment_object(segment.name)
    size = stored.stat().st_size
    stored.chmod(0o600)
    with open(stored, "r+b") as file:
        file.truncate(int(size * keep) if isinstance(keep, float) else keep if keep >= 0 else size + keep)
    aborts(ready, segment.name)


def test_one_object_in_the_place_of_another_aborts(ready, source, segment):
    """Both are whole, signed and of this cluster; only the name is wrong."""
    other = source.segment("other")
    ready.archive(segment)
    ready.archive(other)
    shutil.copy2(ready.segment_object(other.name), ready.segment_object(segment.name))
    ready.runtime.own(ready.segment_object(segment.name))
    aborts(ready, segment.name)


def test_the_other_content_in_the_place_of_the_first_aborts(ready):
    """It was kept under conflict/, whole and signed; whoever can move files cannot put it in service."""
    history = ready.directory / "00000002.history"
    history.write_text("1\t0/3000000\tfirst promotion\n")
    ready.archive(history)
    history.write_text("1\t0/3000000\tsecond promotion\n")
    ready.archive(history, status=FAILED)
    (kept,) = ready.objects("clusters/*/conflict/**/*")
    assert {f["kind"] for f in ready.json("verify", status=None)["findings"]} == {"conflict"}
    shutil.copy2(kept, ready.objects(f"clusters/*/wal/*/{history.name}")[0])
    aborts(ready, history.name)


def test_a_corrupt_object_is_served_from_the_other_repository(ready_two, segment):
    ready_two.archive(segment)
    flip_bit(ready_two.segment_object(segment.name, "near"), 300)
    is_stored(ready_two, segment)


# Keys and configuration


def test_no_identity_aborts_and_archiving_goes_on(ready, segment):
    (ready.keys / "identity").unlink()
    ready.archive(segment)
    aborts(ready, segment.name)


def test_a_wrong_identity_aborts(ready, source, segment, runtime, place):
    other = Site(runtime, place / "other")
    other.use(source.cluster)
    other.pgcairn("init")
    ready.archive(segment)
    shutil.copy2(other.keys / "identity", ready.keys / "identity")
    runtime.own(ready.keys)
    aborts(ready, segment.name)


def test_nothing_of_the_segment_stands_in_the_repository(ready, segment):
    ready.archive(segment)
    assert MARK in segment.read_bytes()
    for stored in ready.objects("**/*"):
        assert MARK not in stored.read_bytes()


def broken_configurations(text):
    return {
        "an unknown key": text.replace("pgdata =", "pg-data ="),
        "an unknown section": text + "\n[nonsense]\nkey = 1\n",
        "a duplicate key": text.replace("[keys]", "[keys]\nidentity = /nowhere"),
        "a duplicate section": text + "\n[keys]\n",
        "a line of 300 bytes": text.replace("signers-file = ", "signers-file = /" + "x" * 290),
        "no equals sign": text.replace("[keys]", "[keys]\nidentity"),
        "a NUL byte": text.replace("[keys]", "[keys]\0"),
        "nothing at all": "",
    }


@pytest.mark.parametrize("what", list(broken_configurations("")))
def test_a_configuration_that_is_wrong_is_named_with_its_line(ready, segment, what):
    ready.write_config(broken_configurations(ready.config_text())[what])
    assert "pgcairn.conf" in ready.archive(segment, status=FAILED).stderr
    aborts(ready, segment.name)
    assert "pgcairn.conf" in ready.pgcairn("info", status=2).stderr


def test_wrong_use_keeps_to_the_exit_codes(ready, runtime):
    for words in ([], ["--no-such-option"], ["one"], ["one", "two", "three"], ["--config"]):
        runtime.run([runtime.bin / "pgcairn-wal-archive", *words], status=FAILED)
        runtime.run([runtime.bin / "pgcairn-wal-restore", *words], status=ABORT)
        if words != ["--config"]:
            runtime.run([runtime.bin / "pgcairn", *words], status=2)
    ready.runtime.run([runtime.bin / "pgcairn-wal-archive", "--config", "/nonexistent", "x", "y"], status=FAILED)
    ready.runtime.run([runtime.bin / "pgcairn-wal-restore", "--config", "/nonexistent", "x", "y"], status=ABORT)


def test_help_and_version_say_something_and_succeed(runtime):
    for binary in ("pgcairn", "pgcairn-wal-archive", "pgcairn-wal-restore"):
        for option in ("--help", "--version"):
            assert "pgcairn" in runtime.run([runtime.bin / binary, option]).stdout


@pytest.mark.parametrize("binary", ["pgcairn-wal-archive", "pgcairn-wal-restore"])
def test_the_two_commands_start_without_libpq(runtime, binary):
    needed = runtime.run(["readelf", "-d", runtime.bin / binary]).stdout
    assert "libsodium" in needed and "libpq" not in needed


@pytest.mark.parametrize("encryption", ["on", "none"])
def test_what_init_may_have_been_killed_over_is_durable_before_the_first_segment_counts(site, source, segment, encryption):
    """Without the records of its repository nothing can be read; they are settled once, then it costs nothing."""
    site.use(source.cluster)
    site.write_config(site.config_text().replace("conninfo =", f"encryption = {encryption}\nconninfo ="))
    site.pgcairn("init")
    founded = [site.repositories["local"] / "clusters/main" / name for name in ("recipients/0000", "lineage/0000", "signers/0000")]

    def settled():
        calls = site.synced(segment, segment.name, binary="pgcairn-wal-archive").stderr
        site.segment_object(segment.name).unlink()
        return [f"{record}>" in calls for record in founded]

    assert settled() == [True] * 3
    assert settled() == [False] * 3
