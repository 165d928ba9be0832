"""examples/escape-hatch.py, which was written from docs/repository-format.md alone: it brings a cluster back without pgcairn.

What it restores here was archived and backed up by the real binaries; afterwards the cluster is gone and none of them can be
found. The page's worked example is decoded too, so that page, program and repository cannot drift apart.
"""

import ctypes
import hashlib
import json
import re
import shlex
import shutil
import subprocess

import psycopg2
import pytest

import harness
from hatch import HATCH, load

hatch = load()
PAGE = harness.REPO / "docs/repository-format.md"
WITHOUT_PGCAIRN = {"PATH": "/usr/bin:/bin"}


class Lost:
    """A repository and its keys; the cluster that was archived to it is gone."""

    def __init__(self, runtime, place):
        self.runtime, self.place = runtime, place
        self.hatch = place / "escape-hatch.py"
        shutil.copy(HATCH, self.hatch)  # the tests' user may not read the checkout
        site = harness.Site(runtime, place / "site")
        self.repository, self.identity, self.signers = site.repositories["local"], site.keys / "identity", site.keys / "signers"
        cluster = site.cluster()
        site.pgcairn("init")
        cluster.start()
        self.write_history(site, cluster)
        cluster.destroy()
        shutil.rmtree(cluster.directory)
        shutil.rmtree(place / "space")

    def write_history(self, site, cluster):
        """Rows 1 to 100 in the backup, to 200 before the moment, to 300 on timeline 1, to 400 on timeline 2."""
        self.runtime.make_directory(self.place / "space")
        cluster.sql(f"CREATE TABLESPACE space LOCATION '{self.place}/space'")
        self.space = cluster.value("SELECT oid FROM pg_tablespace WHERE spcname = 'space'")
        cluster.sql("CREATE TABLE here (id int PRIMARY KEY)")
        cluster.sql("CREATE TABLE there (id int PRIMARY KEY, filler text) TABLESPACE space")
        self.rows(cluster, 1, 100)
        self.label = site.json("backup")["label"]
        self.rows(cluster, 101, 200)
        self.moment = cluster.value("SELECT clock_timestamp()::text")
        self.rows(cluster, 201, 300)
        cluster.sql("SELECT pg_logical_emit_message(true, 'a record of several segments', repeat(md5('x'), 80000))")
        cluster.sql("SELECT pg_logical_emit_message(false, 'many', md5(i::text)) FROM generate_series(1, 20000) i")
        self.segment = cluster.archive_now()
        cluster.stop()
        (cluster.data / "standby.signal").touch()
        self.runtime.own(cluster.data)
        cluster.start()
        cluster.pg_ctl("promote", "-w")
        self.rows(cluster, 301, 400)
        self.last = cluster.archive_now()
        self.originals = {name: hashlib.sha256((cluster.data / "pg_wal" / name).read_bytes()).hexdigest()
                          for name in (self.last, "00000002.history")}
        cluster.stop()

    @staticmethod
    def rows(cluster, first, last):
        cluster.sql(f"INSERT INTO here SELECT generate_series({first}, {last})")
        cluster.sql(f"INSERT INTO there SELECT i, repeat('x', 1000) FROM generate_series({first}, {last}) i")

    def run(self, *args, repository=None, status=0):
        result = self.runtime.run(["/usr/bin/python3", "-B", self.hatch, repository or self.repository, *args], status=status,
                                  env=WITHOUT_PGCAIRN)
        assert "Traceback" not in result.stderr
        return result

    def backup(self, place, *args, identity=None, **options):
        return self.run("backup", "--identity", identity or self.identity, "--signers", self.signers, "--pgdata", place / "data",
                        "--wal", place / "wal", "--tablespace", f"{self.space}={place}/space", *args, **options)

    def copy(self, place):
        """A repository of its own, to be damaged."""
        shutil.copytree(self.repository, place / "repository")
        self.runtime.own(place / "repository")
        return place / "repository"

    def refuse_backup(self, place, *names, repository=None, identity=None):
        """A restore that fails, says which object it is, and leaves nothing that starts."""
        said = self.backup(place, repository=repository, identity=identity, status=1).stderr
        assert not (place / "data/global/pg_control").exists()
        for name in names:
            assert name in said
        return said


@pytest.fixture(scope="module")
def lost(runtime):
    with runtime.place("lost") as place:
        yield Lost(runtime, place)


def start(lost, place, printed):
    """Start the server as escape-hatch.py said; nothing of pgcairn can be found."""
    words = shlex.split(printed.strip().splitlines()[-1])
    cluster = harness.Cluster(lost.runtime, place)
    with open(cluster.log, "wb") as log:
        server = lost.runtime.popen([*words, "-k", place], env=WITHOUT_PGCAIRN, stdout=log, stderr=log)

    def answers():
        assert server.poll() is None, cluster.log_text()
        try:
            return not cluster.value("SELECT pg_is_in_recovery()")
        except psycopg2.OperationalError:
            return False

    harness.wait_until(answers, "the end of recovery")
    return cluster


def ids(cluster, table):
    return [row[0] for row in cluster.sql(f"SELECT id FROM {table} ORDER BY id")]


def only(place, pattern):
    found = sorted(place.glob(pattern))
    assert found, pattern
    return found[0]


def test_a_lost_cluster_comes_back_to_the_end_of_its_newest_timeline(lost, place):
    assert not shutil.which("pgcairn", path=WITHOUT_PGCAIRN["PATH"])
    cluster = start(lost, place, lost.backup(place).stdout)
    assert ids(cluster, "here") == ids(cluster, "there") == list(range(1, 401))
    assert cluster.value("SELECT timeline_id FROM pg_control_checkpoint()") == 3
    assert cluster.value("SELECT pg_tablespace_location(%s)", lost.space) == f"{place}/space"
    assert cluster.value("SHOW archive_mode") == "off"
    assert cluster.value("SHOW restore_command").startswith("test -d ")


def test_a_lost_cluster_comes_back_to_a_moment(lost, place):
    cluster = start(lost, place, lost.backup(place, lost.label, "--target-time", lost.moment).stdout)
    assert ids(cluster, "here") == ids(cluster, "there") == list(range(1, 201))


@pytest.mark.slow
def test_a_lost_cluster_comes_back_to_the_end_of_an_older_timeline(lost, place):
    cluster = start(lost, place, lost.backup(place, "--target-timeline", "1").stdout)
    assert ids(cluster, "here") == ids(cluster, "there") == list(range(1, 301))


def test_wal_files_come_out_as_the_server_wrote_them(lost, place):
    out = lost.runtime.make_directory(place / "out")
    lost.run("wal", "--identity", lost.identity, "--output", out, *lost.originals)
    assert {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in out.iterdir()} == lost.originals
    lost.run("wal", "--identity", lost.identity, "--output", out, "--all")  # those that are there already are compared
    names = {p.name for p in out.iterdir()}
    stored = {p.name for p in lost.repository.glob("clusters/main/wal/**/*") if p.is_file()}
    assert names == stored and any(n.endswith(".partial") for n in names) and any(n.endswith(".backup") for n in names)
    (out / lost.last).write_bytes(b"something else")
    assert f"{lost.last}: is there with other content" in lost.run(
        "wal", "--identity", lost.identity, "--output", out, lost.last, status=1).stderr


def test_list_needs_no_key(lost):
    said = lost.run("list").stdout
    for wanted in (f"backup {lost.label}: full", "timeline 1:", "timeline 2: begins at", lost.segment, f"{lost.last} to "):
        assert wanted in said
    assert "HOLE" not in said and "WRONG" not in said


def test_list_shows_a_hole(lost, place):
    repository = lost.copy(place)
    hole = sorted(repository.glob("clusters/main/wal/*/00000001/*/" + "[0-9A-F]" * 24))[1]
    hole.unlink()
    assert f"HOLE of 1 segments: segment {hole.name} is missing" in lost.run("list", repository=repository).stdout


def clear_parts(lost):
    """Of the segments of timeline 1, in order."""
    cluster = hatch.Cluster(hatch.Repository(str(lost.repository)), "main", None)
    system = next(iter(cluster.lineage))
    names = [n for n in hatch.Wal(cluster, system).all_files() if re.fullmatch("00000001[0-9A-F]{16}", n)]
    return [cluster.read(hatch.place_of_wal(system, n)).clear for n in names]


def joined(parts):
    joins = hatch.Joins()
    for clear in parts:
        joins.add(clear)


def test_segments_that_do_not_join_are_noticed_without_a_key(lost):
    parts = clear_parts(lost)
    joined(parts)
    crossing = [i for i, clear in enumerate(parts) if "tail" in clear]
    assert any("head" in clear and "tail" not in clear and not clear["records"] for clear in parts)  # the inside of one record
    for i in range(1, len(parts) - 1):
        with pytest.raises(hatch.Refused):
            joined(parts[:i] + parts[i + 1:])
    checked = 0
    for i in crossing:
        if len(parts[i]["tail"]["header"]) == 48:
            changed = {**parts[i + 1], "head": {**parts[i + 1]["head"], "crc0": parts[i + 1]["head"]["crc0"] ^ 1}}
            with pytest.raises(hatch.Refused, match="another checksum"):
                joined(parts[:i + 1] + [changed] + parts[i + 2:])
            checked += 1
    assert checked


def test_trust_needs_the_founder(lost, place):
    assert "trust on first use" in lost.run("verify").stderr
    assert "trust" not in lost.run("verify", "--signers", lost.signers, "--identity", lost.identity).stderr
    stranger = place / "stranger"
    stranger.write_text("ed25519:oJql9HpnWYAv-VX43C0qFKXJnSO-l_hkEn_5ODRVpPAwxC7x stranger\n")
    assert "whom the signers-file does not name" in lost.run("verify", "--signers", stranger, status=1).stdout


@pytest.mark.parametrize("victim", ["pack-000000", "manifest-0000", "segment", *(
    pytest.param(f"{folder}/0000", marks=pytest.mark.slow) for folder in ("signers", "lineage", "recipients"))])
def test_a_flipped_bit_restores_nothing(lost, place, victim):
    repository = lost.copy(place)
    pattern = "clusters/main/" + (f"wal/*/*/*/{lost.segment}" if victim == "segment" else
                                  victim if "/" in victim else f"backup/*/{victim}")
    path = only(repository, pattern)
    harness.flip_bit(path, path.stat().st_size // 3)
    lost.refuse_backup(place, str(path.relative_to(repository)), repository=repository)
    assert "WRONG" in lost.run("verify", repository=repository, status=1).stdout


def test_a_missing_pack_restores_nothing(lost, place):
    repository = lost.copy(place)
    only(repository, "clusters/main/backup/*/pack-000000").unlink()
    lost.refuse_backup(place, "pack-000000: missing", repository=repository)
    assert "pack-000000: missing" in lost.run("verify", repository=repository, status=1).stdout


def test_missing_wal_restores_nothing(lost, place):
    repository = lost.copy(place)
    name = sorted(repository.glob("clusters/main/wal/*/*/*/*.backup"))[0].name[:24]
    only(repository, f"clusters/main/wal/*/*/*/{name}").unlink()
    lost.refuse_backup(place, "cannot be made consistent", name, repository=repository)
    assert not (place / "data").exists()


def test_another_identity_restores_nothing(lost, place):
    other = place / "other"
    other.write_text("identity-x25519:ERERERERERERERERERERERERERERERERERERERERERGzDBID\n")
    lost.refuse_backup(place, "this identity may not read", identity=other)


def test_no_identity_restores_nothing(lost, place):
    said = lost.run("backup", "--pgdata", place / "data", status=1).stderr
    assert "manifest-0000: encrypted: --identity is needed" in said and not (place / "data").exists()


def test_a_moved_object_is_refused(lost, place):
    repository = lost.copy(place)
    segment = only(repository, f"clusters/main/wal/*/*/*/{lost.segment}")
    earlier = sorted(p for p in segment.parent.iterdir() if len(p.name) == 24)[0]
    shutil.copy(earlier, segment)
    out = lost.run("wal", "--identity", lost.identity, "--output", place / "out", lost.segment, repository=repository, status=1)
    assert f"this object is b'wal/" in out.stderr and lost.segment in out.stderr
    lost.refuse_backup(place, lost.segment, repository=repository)


def test_an_unmounted_place_is_no_empty_repository(lost, place):
    (place / "empty").mkdir()
    assert "not mounted" in lost.run("list", repository=place / "empty", status=1).stderr


class Unencrypted(harness.Site):
    def config_text(self):
        return super().config_text().replace("conninfo =", "encryption = none\nconninfo =")


@pytest.mark.slow
@pytest.mark.parametrize("make_site", [harness.Site, Unencrypted])
def test_configuration_from_outside_comes_back(runtime, place, make_site):
    """As Debian has it: the files lie in a directory of their own, which includes one that is empty."""
    site = make_site(runtime, place / "site")
    cluster = site.cluster()
    site.pgcairn("init")
    etc = runtime.make_directory(place / "etc")
    (etc / "conf.d").mkdir()
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        (cluster.data / name).rename(etc / name)
    (etc / "absolute.conf").write_text("work_mem = '5MB'\n")
    (etc / "silent.conf").write_text("# sets nothing\n")
    with open(etc / "postgresql.conf", "a", encoding="utf-8") as conf:
        conf.write(f"include_dir 'conf.d'\ninclude 'silent.conf'\ninclude = '{etc}/absolute.conf'  # stays the original's\n")
        conf.write(f"hba_file = '{etc}/pg_hba.conf'\nident_file = '{etc}/pg_ident.conf'\n"
                   f"data_directory = '{cluster.data}'\nrecovery_target_lsn = '0/1'\n")
    runtime.own(etc)
    cluster.pg_ctl("start", "-w", "-l", cluster.log, "-o", f"-p 5432 -k {cluster.directory} -c config_file={etc}/postgresql.conf")
    cluster.sql("CREATE TABLE here (id int)")
    site.pgcairn("backup")
    cluster.sql("INSERT INTO here VALUES (1)")
    cluster.archive_now()
    cluster.stop()
    shutil.rmtree(etc)
    shutil.rmtree(cluster.directory)
    lost = Lost.__new__(Lost)
    lost.runtime, lost.hatch, lost.repository = runtime, place / "hatch.py", site.repositories["local"]
    shutil.copy(HATCH, lost.hatch)
    identity = [] if make_site is Unencrypted else ["--identity", site.keys / "identity"]
    assert ("NOT encrypted" in lost.run("list").stdout) == (make_site is Unencrypted)
    lost.run("verify", *identity)
    restored = lost.run("backup", *identity, "--pgdata", place / "data")
    printed = restored.stdout
    assert f"still names {etc}/absolute.conf of the original" in restored.stderr
    runtime.make_directory(etc)
    shutil.copy(place / f"data/pgcairn.config{etc}/absolute.conf", etc)
    runtime.own(etc)
    assert f"hba_file={place}/data/pgcairn.config{etc}/pg_hba.conf" in printed
    assert ids(start(lost, place, printed), "here") == [1]


@pytest.mark.slow
def test_gaps_and_conflicts_are_told(runtime, place):
    site = harness.Site(runtime, place / "site")
    cluster = site.cluster(archive_command="/bin/true")
    site.pgcairn("init")
    twin = harness.Cluster.create(runtime, place / "twin")
    for one, kept in ((cluster, place / "kept"), (twin, place / "other")):
        runtime.make_directory(kept)
        one.start()
        one.sql("SELECT pg_logical_emit_message(false, 'x', %s)", str(one.data))
        names = [one.switch_wal(), one.switch_wal()]
        runtime.run(["cp", *(one.data / "pg_wal" / name for name in names), kept])
        one.stop()
    site.archive(place / "kept" / names[0])
    site.archive(place / "other" / names[0], status=None)
    harness.flip_bit(place / "kept" / names[1], 60)
    site.pgcairn("gap", "record", place / "kept" / names[1], "--reason", "a test")
    lost = Lost.__new__(Lost)
    lost.runtime, lost.hatch, lost.repository = runtime, place / "hatch.py", site.repositories["local"]
    shutil.copy(HATCH, lost.hatch)
    site.pgcairn("conflict", "resolve", names[0], "--keep", "first", "--reason", "the other is a copy", "--release")
    said = lost.run("list").stdout
    assert ".resolved at" in said and ".released at" in said
    assert f"gap {names[1]}: given up" in said and "'a test'" in said
    assert re.search(rf"conflict wal/\d+/00000001/00000000/{names[0]}/[0-9a-f]{{32}}", said)
    assert " 0 wrong, 0 files that are nobody's" in lost.run("verify", "--identity", site.keys / "identity").stdout
    assert " 0 wrong, 0 files that are nobody's" in lost.run("verify").stdout


class Page:
    """The worked example of docs/repository-format.md."""

    def __init__(self):
        self.text = PAGE.read_text(encoding="utf-8").split("## A worked example", 1)[1]
        self.objects = {}
        self.stated = {}
        for name, kind, block in re.findall(r"`([^`]+)`:\n\n```object (\w+)\n(.*?)```", self.text, re.DOTALL):
            data = b""
            for line in block.splitlines():
                offset, digits, *what = line.split(None, 2)
                assert int(offset) == len(data), line
                if what:
                    self.stated[kind, what[0].split(":")[0]] = bytes.fromhex(digits)
                data += bytes.fromhex(digits)
            self.objects[name] = data
        self.plain = re.search(r"```plain\n(.*?)```", self.text, re.DOTALL)[1].encode()
        self.found = dict(re.findall(r"^\| ([^|]+?) \| `([^`]+)` \|$", self.text, re.MULTILINE))
        self.keys = re.search(r"```keys\n(.*?)```", self.text, re.DOTALL)[1].splitlines()

    def repository(self, place):
        (place / "pgcairn.json").write_text(json.dumps({"format": "pgcairn", "version": 0, "id": "0" * 32, "created": ""}))
        for name, data in self.objects.items():
            path = place / "clusters/page" / name
            path.parent.mkdir(parents=True)
            path.write_bytes(data)
        return hatch.Repository(str(place))

    def keyring(self, place):
        (place / "identity").write_text(self.keys[0] + "\n")
        return hatch.Keyring(str(place / "identity"))


class Believed:
    """Stands for a cluster that believes what it is given: the page has no records."""

    def __init__(self, repository):
        self.repository = repository

    def epoch_key(self, obj):
        return hatch.Object(self.repository, "clusters/page/", f"keys/{obj.key_id.hex()}/0000")


def test_the_worked_example_of_the_page_says_what_is_in_it(tmp_path):
    page = Page()
    repository, keyring = page.repository(tmp_path), page.keyring(tmp_path)
    key_name, wal_name = page.objects
    obj = hatch.Object(repository, "clusters/page/", wal_name)
    keyring.open(Believed(repository), obj)
    assert b"".join(obj.contents()) == page.plain and len(page.plain) == 342
    assert page.found == {
        "header digest": obj.header_digest.hex(),
        "root": obj.root.hex(),
        "object digest": obj.digest.hex(),
        "epoch key, private half": keyring.epochs[obj.key_id][0].hex(),
        "object key": obj.object_key.hex(),
        "sealed part, opened": json.dumps(obj.sealed(), separators=(",", ":")),
    }
    hatch.check_content(obj), hatch.check_sealed(obj)
    (tmp_path / "signers").write_text(page.keys[1] + "\n")
    assert hatch.keys_in_file(str(tmp_path / "signers"), "ed25519") == [obj.signer]
    assert page.stated["wal", "signer"] == obj.signer and page.stated["wal", "object digest"] == obj.digest
    assert page.stated["wal", "digest of the stored frame"] == obj.entry(0)[3] and obj.entry(0)[1] == 1
    (tmp_path / "comparison").write_text(page.keys[2] + "\n")
    comparison = hatch.keys_in_file(str(tmp_path / "comparison"), "comparison")[0]
    assert obj.clear["content_id"] == content_id(comparison, page.plain)


def content_id(key, plain):
    """The page's section Content id, for up to what fits into memory."""
    secret = b"".join(hashlib.blake2b(b"xxh3" + bytes([i]), key=key).digest() for i in range(3))
    inner = xxh3(plain, secret)
    return hashlib.blake2b(len(plain).to_bytes(8, "little") + inner, digest_size=16, key=key).hexdigest()


def xxh3(data, secret):
    library = ctypes.CDLL("libxxhash.so.0")

    class Hash(ctypes.Structure):
        _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]

    library.XXH3_128bits_withSecret.restype = Hash
    library.XXH3_128bits_withSecret.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    found = library.XXH3_128bits_withSecret(data, len(data), secret, len(secret))
    return found.high.to_bytes(8, "big") + found.low.to_bytes(8, "big")


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_every_changed_byte_of_the_worked_example_is_refused(tmp_path, step):
    page = Page()
    repository, keyring = page.repository(tmp_path), page.keyring(tmp_path)
    for name, data in page.objects.items():
        for at in range(0, len(data), step):
            (tmp_path / "clusters/page" / name).write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1:])
            with pytest.raises(hatch.Refused):
                obj = hatch.Object(repository, "clusters/page/", name)
                keyring.open(Believed(repository), obj)
                list(obj.contents())
        for length in range(0, len(data), step):
            (tmp_path / "clusters/page" / name).write_bytes(data[:length])
            with pytest.raises(hatch.Refused):
                hatch.Object(repository, "clusters/page/", name)
        (tmp_path / "clusters/page" / name).write_bytes(data)
