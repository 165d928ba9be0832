"""What examples/escape-hatch.py must not believe: repositories that somebody made who knows the format and has a signing key.

The writer (objects.py) is small and of its own: it makes clusters without encryption, correct but for one thing. Whatever is wrong ends
in hatch.Refused, which names the object; any other exception would reach the operator as a traceback.
"""

import os
import resource

import crc32c
import lz4.block
import pytest
import zstandard

from hatch import load
from objects import Frame, as_json, key_pair, write_object

hatch = load()
FOUNDER, THIEF = key_pair(1), key_pair(2)
CLUSTER, SYSTEM = b"c" * 16, "7000000000000000001"
SEGMENT = f"wal/{SYSTEM}/00000001/00000000/000000010000000000000002"
MIB = 2**20


class Forged:
    """A cluster that can be believed, object by object; put() with other arguments makes it one that cannot."""

    def __init__(self, place):
        self.place = place
        (place / "pgcairn.json").write_text('{"format": "pgcairn", "version": 0, "id": "' + "0" * 32 + '"}')
        self.put("signers/0000", 8, {"signers": [{"ed25519": FOUNDER[0].hex(), "name": "f"}]})
        self.put("lineage/0000", 8, {"system_identifier": SYSTEM, "major": 15, "segment_size": MIB})
        self.put("recipients/0000", 8, {"encrypted": False, "comparison_check": "0" * 64, "recipients": []})

    def put(self, name, kind, clear, frames=(), named=None, **wrong):
        return write_object(self.place / "clusters/forged" / name, named or name, kind, clear, frames,
                            **{"signer": FOUNDER, "cluster": CLUSTER, **wrong})

    def segment(self, frame=None, **options):
        clear = {"content_id": "0" * 32, "size": MIB, "verified": True, "timeline": 1, "system_identifier": SYSTEM,
                 "start": "0/200000", **options.pop("clear", {})}
        return self.put(SEGMENT, 1, clear, [frame or Frame(bytes(MIB))], sealed=as_json({"file": SEGMENT[-24:]}), **options)

    def backup(self, *lines, end=None, clear=None, pin=None, contents=b"0123456789", frames=None):
        """A backup of three small files, with lines of the test's own before the end."""
        frames = frames or [Frame(contents)]
        size, found = self.put("backup/b/pack-000000", 5, {"label": "b", "pack": 0}, frames, codec=1)
        whole = [entry("PG_VERSION"), entry("backup_label"), {"dir": "global", "mode": 448}, entry("global/pg_control"), *lines]
        parsed = [line for line in whole if isinstance(line, dict)]
        counts = {k + "s": sum(k in line or k + "_hex" in line for line in parsed)
                  for k in ("dir", "file", "config", "tablespace", "bad_page")}
        raw = b"".join(as_json(line) + b"\n" for line in [*whole, {"end": True, **counts, **(end or {})}])
        self.put("backup/b/manifest-0000", 6, {
            "label": "b", "type": "full", "system_identifier": SYSTEM, "major": 15, "server_version": 150000, "segment_size": MIB,
            "data_checksums": True, "start_timeline": 1, "stop_timeline": 1, "start_lsn": "0/200028", "stop_lsn": "0/200100",
            "checkpoint_lsn": "0/200060", "from_standby": False, "start_time": 0, "stop_time": 0,
            "size": sum(line.get("size", 0) for line in parsed if "file" in line or "file_hex" in line), "files": counts["files"],
            "bad_pages": 0, "packs": [[sum(f.plain for f in frames), size, pin or found]], **(clear or {})}, [Frame(raw)])

    def cluster(self):
        return hatch.Cluster(hatch.Repository(str(self.place)), "forged", [FOUNDER[0]])

    def opened(self):
        return hatch.Backup(self.cluster(), hatch.Keyring(None), "b")


def entry(path, **members):
    """The line of a file of ten bytes."""
    return {"file": path, "mode": 384, "size": 10, "mtime": 0, "crc32c": 0x280c069e, "runs": [[0, 0, 0, 10]], **members}


@pytest.fixture
def forged(tmp_path):
    (tmp_path / "repository").mkdir()
    return Forged(tmp_path / "repository")


def test_what_is_right_is_believed(forged, tmp_path):
    forged.segment()
    forged.backup()
    assert forged.cluster().read(SEGMENT).plain == MIB
    backup = forged.opened()
    backup.check()
    hatch.restore(backup, str(tmp_path / "data").encode(), {}, "")
    assert (tmp_path / "data/global/pg_control").read_bytes() == b"0123456789"


@pytest.mark.parametrize("wrong, said", [
    ({"signer": THIEF}, "who is not enrolled"),
    ({"cluster": b"d" * 16}, "of another cluster"),
    ({"named": SEGMENT[:-1] + "3"}, "not that one"),
    ({"version": 1}, "newer reader"),
    ({"features": 1}, "newer reader"),
    ({"codec": 3}, "newer reader"),
    ({"zero": 1}, "header is damaged"),
    ({"drop": 1}, "its size"),
    ({"clear": {"size": 1}}, "its size is not that of its frames"),
    ({"clear": {"timeline": 2}}, "its timeline"),
    ({"clear": {"system_identifier": "1"}}, "another system"),
    ({"clear": {"start": "0/300000"}}, "begins elsewhere"),
    ({"clear": {"start": 5}}, "damaged"),
    ({"frame": Frame(bytes(MIB - 1))}, "its size"),
    ({"frame": Frame(bytes(9), plain=MIB)}, "its entry in the table"),
    ({"frame": Frame(bytes(9), encoding=1, plain=MIB)}, "its entry in the table"),
])
def test_an_object_that_is_wrong_is_refused(forged, wrong, said):
    forged.segment(**wrong)
    with pytest.raises(hatch.Refused, match=said) as refused:
        forged.cluster().read(SEGMENT)
    assert SEGMENT in str(refused.value)


@pytest.mark.parametrize("codec, stored", [
    (1, lz4.block.compress(bytes(MIB - 1), store_size=False)),
    (1, lz4.block.compress(bytes(MIB + 1), store_size=False)),
    (1, b"\xff" * 100),
    (2, zstandard.compress(bytes(MIB - 1))),
    (2, zstandard.compress(bytes(2**30))),
    (2, zstandard.compress(bytes(MIB)) + b"more"),
    (2, zstandard.compress(bytes(MIB))[:-1]),
    (2, b"\xff" * 100),
], ids=["lz4-short", "lz4-long", "lz4-garbage", "zstd-short", "zstd-bomb", "zstd-more", "zstd-cut", "zstd-garbage"])
def test_a_frame_that_does_not_decode_to_its_length_is_refused(forged, codec, stored):
    forged.segment(Frame(stored, codec, MIB), codec=codec)
    obj = forged.cluster().read(SEGMENT)
    with pytest.raises(hatch.Refused, match="frame 0: "):
        obj.frame(0)


@pytest.mark.parametrize("json_text, said", [
    (b"[]", "not an object"),
    (b"{", "damaged"),
    (b'{"size": 1, "size": 1}', "occurs twice"),
    (b'{"x": 1.5}', "not a whole number"),
    (b'{"x": NaN}', "not a whole number"),
    (b'{"x": 9223372036854775808}', "out of range"),
    (b'{"x": ' + b"9" * 5000 + b"}", "out of range"),
    (b'{"x": "\xff"}', "damaged"),
    (b'{"x": ' + b"[" * 100000 + b"]" * 100000 + b"}", "damaged"),
    (b"{}", "is missing"),
    (b'{"size": true}', "not of the right type"),
])
def test_json_that_is_wrong_is_refused(forged, json_text, said):
    forged.put(f"wal/{SYSTEM}/00000002.history", 4, json_text, [Frame(b"1\t0/1\tx\n")])
    with pytest.raises(hatch.Refused, match=said):
        forged.cluster().read(f"wal/{SYSTEM}/00000002.history")


@pytest.mark.parametrize("name, clear, options, said", [
    ("signers/0000", {"signers": []}, {"signer": THIEF}, "whom the signers-file does not name"),
    ("signers/0001", {"signers": [{"ed25519": THIEF[0].hex(), "name": "t"}]}, {"signer": THIEF}, "who is not enrolled"),
    ("signers/0001", {"signers": [7]}, {}, "damaged"),
    ("signers/0001", {"signers": [{"ed25519": "xy"}]}, {}, "not 32 bytes in hex"),
    ("lineage/0000", {"system_identifier": "1\x1b[2J", "major": 15, "segment_size": MIB}, {}, "no system identifier"),
    ("lineage/0000", {"system_identifier": SYSTEM, "major": 15, "segment_size": MIB + 1}, {}, "power of two"),
    ("recipients/0000", {"encrypted": 0}, {}, "not of the right type"),
    ("recipients/0001", {"encrypted": False}, {"signer": THIEF}, "who is not enrolled"),
])
def test_records_that_are_wrong_end_the_trust(forged, name, clear, options, said):
    forged.put(name, 8, clear, **options)
    with pytest.raises(hatch.Refused, match=said):
        forged.cluster()


def test_an_unfinished_founding_is_no_cluster(forged):
    (forged.place / "clusters/forged/recipients/0000").unlink()
    with pytest.raises(hatch.Refused, match="not completed"):
        forged.cluster()


def test_stripped_encryption_is_refused(forged):
    forged.segment()
    forged.put("recipients/0001", 8, {"encrypted": True, "comparison_check": "0" * 64, "recipients": []})
    with pytest.raises(hatch.Refused, match="not encrypted, although"):
        forged.cluster().read(SEGMENT)


def test_a_link_is_no_object(forged):
    forged.segment()
    path = forged.place / "clusters/forged" / SEGMENT
    path.rename(forged.place / "elsewhere")
    path.symlink_to(forged.place / "elsewhere")
    with pytest.raises(OSError):
        forged.cluster().read(SEGMENT)
    assert hatch.Wal(forged.cluster(), SYSTEM).all_files() == []


@pytest.mark.parametrize("line, said", [
    (entry("../x"), "a path that is refused"),
    (entry("/x"), "a path that is refused"),
    (entry("a//x"), "a path that is refused"),
    (entry("a/./x"), "a path that is refused"),
    (entry(""), "a path that is refused"),
    (entry("a\0x"), "a path that is refused"),
    (entry("x" * 1024), "a path that is refused"),
    (entry("pg_tblspc/1/x"), "a path that is refused"),
    (entry("\ud800"), "damaged"),
    ({**entry("x"), "file_hex": "78"}, "its path is damaged"),
    ({"dir": "..", "mode": 448}, "a path that is refused"),
    ({"config": "/etc/../x", **{k: v for k, v in entry("x").items() if k != "file"}}, "a path that is refused"),
    ({"config": "etc/x", **{k: v for k, v in entry("x").items() if k != "file"}}, "a path that is refused"),
    ({"dir": "x", "file": "x", "mode": 448}, "unknown kind"),
    ({"fifo": "x"}, "unknown kind"),
    ({"tablespace": 5, "location": "/x"}, "not first"),
    (entry("x", mode=0o10000), "out of range"),
    (entry("x", size=11), "runs are damaged"),
    (entry("x", runs=[[0, 0, 0, 4], [5, 0, 5, 5]]), "runs are damaged"),
    (entry("x", runs=[[0, 0, 1, 10]]), "runs are damaged"),
    (entry("x", runs=[[0, 1, 0, 10]]), "runs are damaged"),
    (entry("x", runs=[[0, -1, 0, 10]]), "runs are damaged"),
    (entry("x", runs=[[0, 0, 0]]), "damaged"),
    (entry("x", setting="ssl_key_file"), "unknown setting"),
    (b"\xff", "damaged"),
    (b'{"end": true, "dirs": 1, "files": 3, "configs": 0, "tablespaces": 0, "bad_pages": 0}', "behind the end"),
])
def test_a_manifest_line_that_is_wrong_restores_nothing(forged, line, said):
    forged.backup(line)
    with pytest.raises(hatch.Refused, match=said) as refused:
        forged.opened().check()
    assert "backup/b/manifest-0000: line" in str(refused.value)


@pytest.mark.parametrize("options, said", [
    ({"end": {"files": 4}}, "lines are missing"),
    ({"clear": {"files": 4}}, "another number of files"),
    ({"clear": {"size": 31}}, "another number of size"),
    ({"clear": {"type": "incremental"}}, "newer reader"),
    ({"clear": {"label": "c"}}, "its label"),
    ({"clear": {"system_identifier": "1"}}, "not in the lineage"),
    ({"clear": {"stop_lsn": "0/100000"}}, "positions are damaged"),
    ({"clear": {"start_time": 2**62}}, "damaged"),
    ({"clear": {"packs": [[10, 5]]}}, "list of packs"),
])
def test_a_manifest_that_is_wrong_restores_nothing(forged, options, said):
    forged.backup(**options)
    with pytest.raises(hatch.Refused, match=said):
        forged.opened().check()


@pytest.mark.parametrize("lines, options, said", [
    ([], {"pin": "0" * 64}, "not the pack that the manifest names"),
    ([entry("x", crc32c=1)], {}, "its checksum"),
    ([entry("global/pg_control")], {"contents": b"9876543210"}, "its checksum"),
    ([entry("PG_VERSION")], {}, "File exists"),
    ([entry("nowhere/x")], {}, "No such file"),
])
def test_a_backup_that_is_wrong_leaves_nothing_that_starts(forged, tmp_path, lines, options, said):
    forged.backup(*lines, **options)
    backup = forged.opened()
    backup.check()
    with pytest.raises((hatch.Refused, OSError), match=said):
        hatch.restore(backup, str(tmp_path / "data").encode(), {}, "")
    assert not (tmp_path / "data/global/pg_control").exists()


@pytest.mark.parametrize("text, said", [
    (b"include '../../../../out'", "still names ../../../../out"),
    (b"include_dir '../../../../out'", "still names ../../../../out"),
    (b"include '%s'" % (b"x" * 300), "File name too long"),
    (b"include 'a\0'", "damaged"),
])
def test_an_included_name_leads_nowhere_outside(forged, tmp_path, capfd, text, said):
    config = {k: v for k, v in entry("x").items() if k != "file"}
    forged.backup({**config, "config": "/etc/a.conf", "size": len(text), "crc32c": crc32c.crc32c(text), "runs": [[0, 0, 10, len(text)]]},
                  contents=b"0123456789" + text)
    backup = forged.opened()
    backup.check()
    try:
        hatch.restore(backup, str(tmp_path / "data").encode(), {}, "")
    except (hatch.Refused, OSError) as error:
        assert said in str(error)
    else:
        assert said in capfd.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "repository"]


def test_memory_does_not_grow_with_what_is_restored(forged, tmp_path):
    plain = b"0123456789" + bytes(MIB - 10)
    frames = [Frame(lz4.block.compress(plain, store_size=False), 1, MIB)] * 96
    checksum = 0
    for _ in frames:
        checksum = crc32c.crc32c(plain, checksum)
    forged.backup(entry("big", size=96 * MIB, crc32c=checksum, runs=[[0, 0, 0, 96 * MIB]]), frames=frames)
    backup = forged.opened()
    backup.check()
    child = os.fork()
    if not child:
        status = 1
        try:
            used = int(open("/proc/self/statm", encoding="ascii").read().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + 32 * MIB, used + 32 * MIB))
            hatch.restore(backup, str(tmp_path / "data").encode(), {}, "")
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "data/big").stat().st_size == 96 * MIB
