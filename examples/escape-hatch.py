#!/usr/bin/python3
"""Reads a pgcairn repository when pgcairn is gone: lists it, takes WAL and base backups out of it, verifies it.

Written from docs/repository-format.md alone; the sections below follow that page, which says what every number means.

    apt-get install python3-nacl python3-lz4 python3-zstandard python3-crc32c      (Debian 12; any Python from 3.9 on)
    escape-hatch.py REPOSITORY list                                   what is there; needs no key
    escape-hatch.py REPOSITORY verify [--identity FILE]               every object; with the identity, contents too
    escape-hatch.py REPOSITORY wal --identity FILE --output DIR (--all | FILE-OF-WAL ...)
    escape-hatch.py REPOSITORY backup --identity FILE [LABEL] --pgdata DIR [--wal DIR] [--tablespace OID=DIR] ...

--signers FILE names the keys that may have founded the cluster. Without it nothing proves that the repository is yours.
It reads only; what it writes goes to the directories that you name. Status: 0 done, 1 refused or damaged, 2 usage.
"""

import argparse
import base64
import contextlib
import datetime
import hashlib
import json
import os
import re
import shlex
import stat
import struct
import sys

try:
    import crc32c
    import lz4.block
    import nacl.bindings as sodium
    import nacl.exceptions
    import zstandard
except ImportError as missing_module:
    sys.exit(f"{missing_module}; hint: apt-get install python3-nacl python3-lz4 python3-zstandard python3-crc32c")


# --- Conventions -----------------------------------------------------------------------------------------------------

class Refused(Exception):
    """What was read is not believed, or cannot be used; the text names the object."""


class NotForUs(Refused):
    """Sealed to other recipients than the identity that was given."""


class Missing(Refused):
    """The store says that there is no such name, and it still is the repository that was opened."""


@contextlib.contextmanager
def about(what):
    """Name what is being read in front of whatever is wrong with it."""
    try:
        yield
    except Refused as error:
        raise type(error)(str(error) if str(error).startswith(what) else f"{what}: {error}") from None
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, RecursionError, struct.error) as error:
        raise Refused(f"{what}: damaged: {error}") from None


def need(condition, otherwise):
    if not condition:
        raise Refused(otherwise)


def warn(text):
    print(f"warning: {text}", file=sys.stderr)


def blake2b(data, size=32):
    return hashlib.blake2b(data, digest_size=size).digest()


def parse_json(data):
    def whole(text):
        need(len(text) <= 20 and -2**63 <= int(text) < 2**63, "JSON: a number out of range")
        return int(text)

    def no_float(text):
        raise Refused(f"JSON: {text[:40]} is not a whole number")

    def members(pairs):
        need(len(dict(pairs)) == len(pairs), "JSON: a member occurs twice")
        return dict(pairs)

    value = json.loads(data.decode("utf-8"), parse_int=whole, parse_float=no_float, parse_constant=no_float,
                       object_pairs_hook=members)
    need(isinstance(value, dict), "JSON: not an object")
    return value


def get(members, name, kind, low=0, high=2**63 - 1):
    """A required member: kind int (from low to high), bool, str, list, dict, or "hex" with low as the number of bytes."""
    need(name in members, f"member '{name}' is missing")
    value = members[name]
    wanted = str if kind == "hex" else kind
    need(type(value) is wanted, f"member '{name}' is not of the right type")
    if kind is int:
        need(low <= value <= high, f"member '{name}' is out of range")
    if kind == "hex":
        need(re.fullmatch("[0-9a-f]{%d}" % (2 * low), value), f"member '{name}' is not {low} bytes in hex")
        return bytes.fromhex(value)
    return value


def position(text):
    match = re.fullmatch("([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})", text)
    need(match, f"{text[:40]!r} is not a WAL position")
    return int(match[1], 16) << 32 | int(match[2], 16)


def lsn(value):
    return f"{value >> 32:X}/{value & 0xffffffff:X}"


def when(microseconds):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=microseconds)).isoformat(" ", "seconds") + "Z"


# --- Names -----------------------------------------------------------------------------------------------------------

WORD = "[A-Za-z0-9_][A-Za-z0-9._-]{0,62}"
WAL_FILE = r"(?P<tli>[0-9A-F]{8})(?P<high>[0-9A-F]{8})(?P<low>[0-9A-F]{8})"
WAL_PLACE = "wal/(?P<system>[1-9][0-9]{0,19})/(?P<tli>[0-9A-F]{8})/(?P<high>[0-9A-F]{8})/(?P=tli)(?P=high)(?P<low>[0-9A-F]{8})"
GAP = rf"gaps/[1-9][0-9]{{0,19}}/[0-9A-F]{{24}}(\.partial|\.[0-9A-F]{{8}}\.backup)?/[0-9a-f]{{32}}"
SEGMENT, PARTIAL, BACKUP_HISTORY, HISTORY, PACK, MANIFEST, EPOCH_KEY, RECORD, QUARANTINE, WAL_INDEX = range(1, 11)
WAL_KINDS = (SEGMENT, PARTIAL, BACKUP_HISTORY, HISTORY)
KINDS = [(kind, re.compile(form)) for kind, form in (
    (SEGMENT, WAL_PLACE), (PARTIAL, WAL_PLACE + r"\.partial"), (BACKUP_HISTORY, WAL_PLACE + r"\.[0-9A-F]{8}\.backup"),
    (HISTORY, r"wal/(?P<system>[1-9][0-9]{0,19})/(?P<tli>[0-9A-F]{8})\.history"),
    (PACK, f"backup/{WORD}/pack-[0-9]{{6}}"), (MANIFEST, f"backup/{WORD}/manifest-[0-9]{{4}}"),
    (EPOCH_KEY, "keys/[0-9a-f]{32}/[0-9]{4}"), (RECORD, "(signers|lineage|recipients)/[0-9]{4}"),
    (RECORD, GAP + "/record"), (QUARANTINE, GAP + "/bytes"),
    (WAL_INDEX, r"index/[0-9a-f]{32}/[1-9][0-9]{0,19}/(?P<tli>[0-9A-F]{8})/(?P=tli)[0-9A-F]{16}\.[0-9]{4}"))]


def kind_of(name):
    """The kind that an object of this relative name has, and the match; (None, None) for a name that is nobody's."""
    conflict = re.fullmatch(r"conflict/(wal/.*)/[0-9a-f]{32}(\.resolved|\.released)?", name)
    for kind, form in KINDS:
        match = form.fullmatch(conflict[1] if conflict else name)
        if match:
            return RECORD if conflict and conflict[2] else kind, match
    return None, None


def place_of_wal(system, file):
    """The relative name of a WAL file in the flat form that PostgreSQL has it in."""
    match = re.fullmatch(WAL_FILE + r"(\.partial|\.[0-9A-F]{8}\.backup)?", file)
    if match:
        return f"wal/{system}/{match['tli']}/{match['high']}/{file}"
    need(re.fullmatch(r"[0-9A-F]{8}\.history", file), f"{file!r} is not the name of a WAL file")
    return f"wal/{system}/{file}"


def segment_name(timeline, number, segment_size):
    per_high = 2**32 // segment_size
    return f"{timeline:08X}{number // per_high:08X}{number % per_high:08X}"


# --- The marker, and the store ---------------------------------------------------------------------------------------

class Repository:
    def __init__(self, directory):
        self.directory = directory
        self.id = self.read_marker()

    def read_marker(self):
        with about("pgcairn.json"):
            try:
                with open(os.path.join(self.directory, "pgcairn.json"), "rb") as file:
                    marker = parse_json(file.read(4097))
            except FileNotFoundError:
                raise Refused(f"not in {self.directory}: no repository, or a file system that is not mounted") from None
            need(get(marker, "format", str) == "pgcairn", "not a pgcairn repository")
            need(get(marker, "version", int) == 0, "another version: a newer reader is needed")
            return get(marker, "id", "hex", 16)

    def read(self, name, start, length):
        """(size of the object, bytes from start on); a negative start counts from the end."""
        try:
            fd = os.open(os.path.join(self.directory, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            need(self.read_marker() == self.id, f"{self.directory}: became another repository while it was read")
            raise Missing("missing") from None
        try:
            status = os.fstat(fd)
            need(stat.S_ISREG(status.st_mode), "not a plain file")
            return status.st_size, os.pread(fd, length, start if start >= 0 else max(0, status.st_size + start))
        finally:
            os.close(fd)

    def names(self, directory):
        """What lies in a directory, sorted: directories end with a slash. Links and special files are not objects."""
        try:
            with os.scandir(os.path.join(self.directory, directory)) as entries:
                found = [e.name + ("/" if e.is_dir(follow_symlinks=False) else "") for e in entries if e.name[0] != "."
                         and (e.is_dir(follow_symlinks=False) or e.is_file(follow_symlinks=False))]
        except (FileNotFoundError, NotADirectoryError):
            need(self.read_marker() == self.id, f"{self.directory}: became another repository while it was read")
            return []
        return sorted(found)

    def below(self, directory):
        for name in self.names(directory):
            if name.endswith("/"):
                yield from self.below(directory + name)
            else:
                yield directory + name


# --- An object -------------------------------------------------------------------------------------------------------

FRAME = 2**20
HEADER, ENTRY, ROOT, TAIL = (struct.Struct(f) for f in ("<8sHHBBBBQ16s16sHHI", "<IB3s32s", "<5I2Q", "<8s6I2Q32s"))
SEALED_PART = 2**64 - 1     # the number that stands for the sealed part where frames have theirs


class Object:
    """One object: everything but trust is checked when it is made, contents when they are read."""

    def __init__(self, repository, folder, name):
        self.repository, self.place, self.name = repository, folder + name, name
        with about(self.place):
            self.read_end()
            self.read_header()
            self.read_table()
            self.clear = parse_json(self.clear_part)

    def read_end(self):
        size, end = self.repository.read(self.place, -4096, 4096)
        need(size >= 64 + 104 + 80, "too short for an object")
        (magic, self.header_length, self.frames, clear, sealed, signature, zero, self.stored, self.plain,
         self.digest) = TAIL.unpack(end[-80:])
        need(magic == b"CAIRNEND", "no object, or cut off at its end")
        need(signature == 104 and zero == 0 and self.frames <= 16384 and max(clear, sealed) <= 2**24, "the tail is damaged")
        need(self.plain <= 16384 * FRAME and self.frames == -(-self.plain // FRAME), "the tail is damaged: number of frames")
        rest = 40 * self.frames + clear + sealed + 104 + 80
        need(self.header_length + self.stored + rest == size, "its size is not the one that its tail says")
        self.size = size
        if rest > len(end):
            end = self.repository.read(self.place, size - rest, rest)[1]
        end = end[-rest:]
        self.table, end = end[:40 * self.frames], end[40 * self.frames:]
        self.clear_part, self.sealed_part, block = end[:clear], end[clear:clear + sealed], end[clear + sealed:-80]
        need(self.header_length <= 64 + 255 + 1024, "the tail is damaged: length of the header")
        self.header = self.repository.read(self.place, 0, self.header_length)[1]
        self.header_digest = blake2b(self.header)
        numbers = ROOT.pack(self.header_length, self.frames, clear, sealed, 104, self.stored, self.plain)
        parts = (self.table, self.clear_part, self.sealed_part)
        self.root = blake2b(self.header_digest + b"".join(map(blake2b, parts)) + numbers)
        need(blake2b(self.root + block) == self.digest, "damaged: the object digest does not fit")
        need(block[:8] == b"\1" + bytes(7), "its signature is of an unknown type")
        self.signer = block[8:40]
        try:
            sodium.crypto_sign_open(block[40:] + b"pgcairn object signature 0\0" + self.root, self.signer)
        except nacl.exceptions.CryptoError:
            raise Refused("the signature does not fit") from None

    def read_header(self):
        (magic, version, length, self.kind, self.codec, self.cipher, frame_size, features, self.cluster_id, self.key_id,
         name, sealed_key, zero) = HEADER.unpack(self.header[:64])
        need(magic == b"PGCAIRN\n", "no object")
        need(version == 0 and features == 0 and self.codec <= 2 and self.cipher <= 1, "a newer reader is needed")
        need(frame_size == 20 and zero == 0 and 1 <= name <= 255 and sealed_key <= 1024, "the header is damaged")
        need(length == self.header_length == 64 + name + sealed_key, "the header is damaged: lengths")
        need(self.header[64:64 + name] == self.name.encode(), f"this object is {self.header[64:64 + name]!r}, not that one")
        need(self.kind == kind_of(self.name)[0], f"it is of kind {self.kind}, which this name has not")
        need((sealed_key != 0) == (self.cipher != 0), "the header is damaged: cipher without key, or key without cipher")
        need(self.cipher or self.key_id == bytes(16), "the header is damaged: a key id without cipher")
        need(not (self.cipher and self.kind in (HISTORY, EPOCH_KEY, RECORD, WAL_INDEX)), "objects of this kind are never encrypted")
        need(not (self.frames and self.kind in (EPOCH_KEY, RECORD)), "objects of this kind have no frames")
        need(not (self.sealed_part and self.kind in (PACK, EPOCH_KEY, RECORD)), "objects of this kind have no sealed part")
        self.sealed_key = self.header[64 + name:]
        self.object_key = None
        self.tag = 16 if self.cipher else 0
        need(not 0 < len(self.sealed_part) <= self.tag, "the sealed part is too short")

    def read_table(self):
        self.starts, place = [], self.header_length
        for i in range(self.frames):
            stored, encoding, zero, _ = self.entry(i)
            plain = self.plain_length(i)
            need(encoding in (0, self.codec) and zero == bytes(3) and self.tag < stored <= plain + self.tag
                 and (encoding or stored == plain + self.tag), f"frame {i}: its entry in the table is damaged")
            self.starts.append(place)
            place += stored
        need(place == self.header_length + self.stored, "the frame table is damaged: sum of the lengths")

    def entry(self, i):
        return ENTRY.unpack_from(self.table, 40 * i)

    def plain_length(self, i):
        return min(FRAME, self.plain - i * FRAME)

    def stored_frame(self, i):
        length, _, _, digest = self.entry(i)
        stored = self.repository.read(self.place, self.starts[i], length)[1]
        need(blake2b(stored) == digest, "damaged: the digest does not fit")
        return stored

    def decrypt(self, stored, number, last, encoding, plain_length):
        if not self.cipher:
            return stored
        data = self.header_digest + struct.pack("<QBBI", number, last, encoding, plain_length)
        nonce = struct.pack("<Q16x", number)
        try:
            return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(stored, data, nonce, self.object_key)
        except nacl.exceptions.CryptoError:
            raise Refused("cannot be decrypted: the tag does not fit") from None

    def frame(self, i):
        """The plain bytes of a frame. The object's key must be open."""
        encoding, plain = self.entry(i)[1], self.plain_length(i)
        with about(f"{self.place}: frame {i}"):
            data = self.decrypt(self.stored_frame(i), i, i == self.frames - 1, encoding, plain)
            try:
                if encoding == 1:
                    data = lz4.block.decompress(data, uncompressed_size=plain)
                elif encoding == 2:
                    need(zstandard.frame_content_size(data) == plain, "the zstd frame has another length")
                    decoder = zstandard.ZstdDecompressor().decompressobj()
                    data = decoder.decompress(data)
                    need(not decoder.unused_data, "there is something behind the zstd frame")
            except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
                raise Refused(f"cannot be decompressed: {error}") from None
            need(len(data) == plain, "decompressed to another length")
            return data

    def contents(self):
        return map(self.frame, range(self.frames))

    def sealed(self):
        with about(f"{self.place}: sealed part"):
            return parse_json(self.decrypt(self.sealed_part, SEALED_PART, 1, 0, len(self.sealed_part) - self.tag))


# --- Keys ------------------------------------------------------------------------------------------------------------

def keys_in_file(path, wanted):
    """The keys of a key file, all of which must be of the type wanted."""
    with about(path):
        with open(path, "rb") as file:
            text = file.read(65537)
        need(len(text) <= 65536, "longer than 64 KiB: no key file")
        keys = []
        for number, line in enumerate(text.decode("utf-8").split("\n"), 1):
            line = line.rstrip(" \t\r")
            if line and not line.startswith("#"):
                form = re.match(f"{wanted}:([A-Za-z0-9_-]{{48}})(?: |$)", line)
                need(form, f"line {number} is not a key of type {wanted}")    # never show the line: it may be a secret
                raw = base64.urlsafe_b64decode(form[1])
                need(blake2b(wanted.encode() + b"\0" + raw[:32], 16)[:4] == raw[32:], f"line {number}: mistyped, the check fails")
                keys.append(raw[:32])
        need(keys, f"no key of type {wanted} in it")
        return keys


def open_box(box, private, public):
    try:
        return sodium.crypto_box_seal_open(box, public, private)
    except nacl.exceptions.CryptoError:
        raise Refused("a sealed key cannot be opened") from None


class Keyring:
    """The identities, and the private halves of the epoch keys that they opened."""

    def __init__(self, path):
        private = keys_in_file(path, "identity-x25519") if path else []
        self.identities = {sodium.crypto_scalarmult_base(k): k for k in private}
        need(len(self.identities) <= 16, f"{path}: more than 16 identities")
        self.epochs = {}

    def open(self, cluster, obj):
        """Put the object's key into it."""
        if not obj.cipher or obj.object_key:
            return
        if not self.identities:
            raise NotForUs(f"{obj.place}: encrypted: --identity is needed")
        if obj.key_id not in self.epochs:
            self.epochs[obj.key_id] = self.open_epoch(cluster.epoch_key(obj))
        private, public = self.epochs[obj.key_id]
        with about(obj.place):
            kind, zero, length = struct.unpack("<BBH", obj.sealed_key[:4])
            need(kind == 1, "its key is sealed in an unknown way: a newer reader is needed")
            need(zero == 0 and length == 80 and len(obj.sealed_key) == 84, "its sealed key is damaged")
            obj.object_key = open_box(obj.sealed_key[4:], private, public)
            need(len(obj.object_key) == 32, "its sealed key is damaged")

    def open_epoch(self, key_object):
        with about(key_object.place):
            public = get(key_object.clear, "public", "hex", 32)
            for entry in get(key_object.clear, "sealed", list):
                recipient = get(entry, "recipient", "hex", 32)
                if recipient in self.identities:
                    private = open_box(get(entry, "box", "hex", 80), self.identities[recipient], recipient)
                    need(len(private) == 32 and sodium.crypto_scalarmult_base(private) == public, "the epoch key does not fit")
                    return private, public
            raise NotForUs("this identity may not read what is under this key: it is sealed to others")


# --- Records, and trust ----------------------------------------------------------------------------------------------

class Cluster:
    def __init__(self, repository, name, founders):
        self.repository, self.name, self.folder = repository, name, f"clusters/{name}/"
        founding = Object(repository, self.folder, "signers/0000")
        self.founder, self.id, self.signers, self.encrypted = founding.signer, founding.cluster_id, {founding.signer}, None
        need(founders is None or self.founder in founders,
             f"{self.folder}signers/0000: founded by {self.founder.hex()}, whom the signers-file does not name")
        for record in self.records("signers"):
            with about(record.place):
                self.signers |= {get(s, "ed25519", "hex", 32) for s in get(record.clear, "signers", list)}
                need(len(self.signers) <= 256 + 1, "more than 256 signers")
        self.lineage = {}       # system identifier -> (place, major, segment size), the oldest first
        for record in self.records("lineage"):
            with about(record.place):
                size = get(record.clear, "segment_size", int, 2**20, 2**30)
                need(size & (size - 1) == 0, "the segment size is not a power of two")
                system = get(record.clear, "system_identifier", str)
                need(re.fullmatch("[1-9][0-9]{0,19}", system), "no system identifier")
                self.lineage[system] = (len(self.lineage), get(record.clear, "major", int, 9, 1000), size)
        recipients = list(self.records("recipients"))
        need(self.lineage and recipients, f"{self.folder}: no lineage or no recipients: its founding was not completed")
        need(len(self.lineage) <= 64, f"{self.folder}lineage: more than 64 systems")
        with about(recipients[-1].place):
            self.encrypted = get(recipients[-1].clear, "encrypted", bool)

    def records(self, folder):
        for number in range(10000):
            try:
                yield self.read(f"{folder}/{number:04}")
            except Missing:
                return

    def read(self, name):
        """An object of this cluster that may be believed."""
        obj = Object(self.repository, self.folder, name)
        with about(obj.place):
            need(obj.cluster_id == self.id, "it is of another cluster")
            need(obj.signer in self.signers, f"signed by {obj.signer.hex()}, who is not enrolled")
            need(obj.cipher or not self.encrypted or obj.kind in (HISTORY, EPOCH_KEY, RECORD, WAL_INDEX),
                 "not encrypted, although the recipients record demands it")
            check = {EPOCH_KEY: check_key, MANIFEST: self.check_manifest, PACK: check_pack, QUARANTINE: check_content}
            if obj.kind in WAL_KINDS:
                self.check_wal(obj)
            elif obj.kind in check:
                check[obj.kind](obj)
            elif name.startswith("gaps/"):
                check_gap(obj)
            elif name.startswith("conflict/"):
                check_decision(obj, object=name.split("/", 1)[1].rsplit("/", 1)[0], content_id=name[-41:-9])
        return obj

    def names(self, folder):
        return self.repository.names(self.folder + folder)

    def newest_generation(self, folder, prefix=""):
        found = [n for n in self.names(folder) if re.fullmatch(prefix + "[0-9]{4}", n)]
        if not found:
            raise Missing(f"{self.folder}{folder}{prefix}0000: missing")
        return self.read(folder + found[-1])

    def epoch_key(self, obj):
        with about(f"key of {obj.place}"):
            return self.newest_generation(f"keys/{obj.key_id.hex()}/")

    def in_lineage(self, system):
        need(system in self.lineage, f"system {system[:20]} is not in the lineage of this cluster")
        return self.lineage[system]

    def check_wal(self, obj):
        check_content(obj)
        match = kind_of(obj.name)[1]
        segment_size = self.in_lineage(match["system"])[2]
        limits = {SEGMENT: (segment_size, segment_size), PARTIAL: (1, segment_size)}
        low, high = limits.get(obj.kind, (1, 2**20))
        need(low <= obj.plain <= high, f"{obj.plain} bytes are no WAL file of this kind")
        if obj.kind in limits and get(obj.clear, "verified", bool):
            number = int(match["high"], 16) * (2**32 // segment_size) + int(match["low"], 16)
            need(get(obj.clear, "timeline", int) == int(match["tli"], 16), "its timeline is not the one in its name")
            need(get(obj.clear, "system_identifier", str) == match["system"], "it is of another system")
            need(position(obj.clear.get("start", lsn(number * segment_size))) == number * segment_size,
                 "it begins elsewhere than its name says")

    def check_manifest(self, obj):
        clear, label = obj.clear, obj.name.split("/")[1]
        need(get(clear, "label", str) == label, "its label is not the one in its name")
        need(get(clear, "type", str) == "full", "a backup of an unknown type: a newer reader is needed")
        self.in_lineage(get(clear, "system_identifier", str))
        start, stop, checkpoint = (position(get(clear, n, str)) for n in ("start_lsn", "stop_lsn", "checkpoint_lsn"))
        need(start <= stop and start <= checkpoint
             and get(clear, "start_timeline", int, 1, 2**32 - 1) <= get(clear, "stop_timeline", int, 1, 2**32 - 1),
             "its positions are damaged")
        packs = get(clear, "packs", list)
        need(len(packs) <= 196608 and all(len(p) == 3 for p in packs), "its list of packs is damaged")
        need(all(type(plain) is type(stored) is int for plain, stored, _ in packs), "its list of packs is damaged")
        for name in ("start_time", "stop_time", "files", "size", "bad_pages"):
            get(clear, name, int)
        when(clear["start_time"]), when(clear["stop_time"])


def check_content(obj):
    need(get(obj.clear, "size", int) == obj.plain, "its size is not that of its frames")
    content_id, parts = get(obj.clear, "content_id", "hex", 16).hex(), obj.name.split("/")
    need(parts[0] != "conflict" or parts[-1] == content_id, "its content id is not the one in its name")
    need(parts[0] != "gaps" or parts[3] == content_id, "its content id is not the one in its name")


def check_key(obj):
    key_id = get(obj.clear, "key_id", "hex", 16)
    need(key_id.hex() == obj.name.split("/")[1] and key_id == blake2b(get(obj.clear, "public", "hex", 32), 16),
         "its key id is not the one in its name")


def check_pack(obj):
    _, label, file = obj.name.split("/")
    need(get(obj.clear, "label", str) == label and get(obj.clear, "pack", int) == int(file[5:]), "it is of another name")


def check_gap(obj):
    _, system, file, content_id, _ = obj.name.split("/")
    check_decision(obj, system_identifier=system, file=file, content_id=content_id)


def check_decision(obj, **named):
    """What somebody decided: the members that the name says too must be the same."""
    for member, value in named.items():
        need(get(obj.clear, member, str) == value, f"its {member} is not the one in its name")
    for member in ("time", "by", "reason"):
        get(obj.clear, member, str)


def check_sealed(obj):
    """The sealed part of a WAL file, or of one that was given up, says its name."""
    file = obj.name.split("/")[2 if obj.name.startswith("gaps/") else -2 if obj.name.startswith("conflict/") else -1]
    need(obj.sealed().get("file") == file, f"{obj.place}: its sealed part says another name")


# --- WAL -------------------------------------------------------------------------------------------------------------

class Wal:
    """The WAL of one system, by names: whole segments (timeline -> numbers), partial ones, histories."""

    def __init__(self, cluster, system):
        self.cluster, self.system = cluster, system
        self.segment_size = cluster.in_lineage(system)[2]
        self.segments, self.partials, self.others, self.histories = {}, {}, [], []
        for place in cluster.repository.below(f"{cluster.folder}wal/{system}/"):
            kind, match = kind_of(place[len(cluster.folder):])
            if kind == HISTORY:
                self.histories.append(int(match["tli"], 16))
            elif kind == BACKUP_HISTORY:
                self.others.append(place.rsplit("/", 1)[1])
            elif kind:
                number = int(match["high"], 16) * (2**32 // self.segment_size) + int(match["low"], 16)
                found = self.segments if kind == SEGMENT else self.partials
                found.setdefault(int(match["tli"], 16), set()).add(number)

    def timelines(self):
        return sorted({*self.segments, *self.partials, *self.histories})

    def path(self, timeline):
        """[(timeline, where it begins)], the oldest first."""
        if timeline == 1:
            return [(1, 0)]
        obj = self.cluster.read(f"wal/{self.system}/{timeline:08X}.history")
        with about(obj.place):
            steps, begin = [], 0
            for line in b"".join(obj.contents()).decode("utf-8", "replace").split("\n"):
                if line.strip() and not line.startswith("#"):
                    ancestor, end = line.split("\t")[:2]
                    need(int(ancestor) < timeline and (not steps or int(ancestor) > steps[-1][0]), "timelines are not in order")
                    steps.append((int(ancestor), begin))
                    begin = position(end)
            for i in reversed(range(1, len(steps))):    # a later line may lie lower
                begin_after = steps[i + 1][1] if i + 1 < len(steps) else begin
                steps[i] = (steps[i][0], min(steps[i][1], begin_after))
            return steps + [(timeline, begin)]

    def find(self, path, number):
        """The name of the whole segment that recovery along this path takes, or None."""
        for timeline, begin in reversed(path):
            if begin // self.segment_size <= number and number in self.segments.get(timeline, ()):
                return segment_name(timeline, number, self.segment_size)
        return None

    def newest_from(self, timeline, at):
        """The path of the newest timeline that goes through this one up to that position."""
        for candidate in reversed([t for t in self.timelines() if t >= timeline]):
            try:
                path = self.path(candidate)
            except Missing:
                warn(f"timeline {candidate} has no history; it is passed over")
                continue
            ends = {t: path[i + 1][1] if i + 1 < len(path) else 2**64 for i, (t, _) in enumerate(path)}
            if ends.get(timeline, -1) >= at:
                return path
        raise Refused(f"no timeline goes through timeline {timeline} up to {lsn(at)}")

    def all_files(self):
        names = [f"{t:08X}.history" for t in self.histories] + self.others
        names += [segment_name(t, n, self.segment_size) for t, found in self.segments.items() for n in found]
        return sorted(names + [segment_name(t, n, self.segment_size) + ".partial" for t, f in self.partials.items() for n in f])

    def why_missing(self, name):
        gaps = self.cluster.names(f"gaps/{self.system}/{name}/")
        return f"segment {name} " + ("was given up: it is a recorded gap" if gaps else "is missing")

    def needed(self, backup, path):
        """What recovery of a backup along a path takes: [(name in the repository, name for the server)]."""
        start, stop = (position(backup[n]) for n in ("start_lsn", "stop_lsn"))
        number, last = start // self.segment_size, (max(start, stop - 1)) // self.segment_size
        files = [(f"{t:08X}.history",) * 2 for t in self.histories]
        while name := self.find(path, number):
            files.append((name, name))
            number += 1
        goal = path[-1][0]
        here = [timeline for timeline, begin in path if begin // self.segment_size <= number][-1]
        stopped = segment_name(here, number, self.segment_size)
        if here == goal and number in self.partials.get(goal, ()):
            files.append((stopped + ".partial", stopped))
            number += 1
        need(number > last, f"the backup cannot be made consistent: {self.why_missing(stopped)}")
        if any(n > number for n in self.segments.get(goal, ())):
            warn(f"there is WAL behind a hole, which recovery does not reach: {self.why_missing(stopped)}")
        return files


ALL_ONES = 2**32 - 1


def crc_behind(state, count):
    """A CRC-32C state behind count zero bytes. The library works on values, which are states xor 2^32-1."""
    for length in [FRAME] * (count // FRAME) + [count % FRAME]:
        state = crc32c.crc32c(bytes(length), state ^ ALL_ONES) ^ ALL_ONES
    return state


class Joins:
    """Whether segments join, by their clear parts: add() them in order, and it refuses one that does not follow."""

    def __init__(self):
        self.before = None      # the clear part of the segment before
        self.last = None        # where the last complete record begins
        self.record = None      # the record that goes on: start, header, the CRC state of its other bytes, its predecessor

    def add(self, clear):
        before, self.before = self.before, clear if get(clear, "verified", bool) else None
        head, tail = (get({n: clear.get(n, {})}, n, dict) for n in ("head", "tail"))
        record, last, self.record, self.last = self.record, self.last, None, None
        if self.before is None:
            return
        ended = False
        try:
            if before is not None:
                need(get(clear, "first_page_timeline", int) >= get(before, "last_page_timeline", int), "of an older timeline")
                self.check_outstanding(before, head)
            if head and not head.get("abandoned") and record:
                record["state"] = crc_behind(record["state"], get(head, "length", int, 0, 2**30)) ^ get(head, "crc0", int)
                ended = head["length"] == get(head, "expected", int)
                self.record = None if ended else record
                if ended:
                    last = record["start"]
                    self.check_record(record, head)
            known = get(clear, "records", int) > 0 or tail.get("length", 0) >= 16
            first_prev = position(clear.get("first_prev", "0/0"))
            need(not known or last is None or first_prev == last, "its first record follows another one")
        finally:
            self.last = position(clear["last_record"]) if clear["records"] > 0 else last
            if tail:
                self.record = {"start": position(tail["start"]), "header": bytes.fromhex(tail["header"]), "state": tail["crc"],
                               "previous": self.last}

    @staticmethod
    def check_outstanding(before, head):
        tail, old = before.get("tail"), before.get("head", {})
        rest = (tail["total"] - tail["length"] if tail else
                old.get("expected", 0) - old.get("length", 0) if not old.get("abandoned") else 0)
        need(head.get("expected", 0) == rest or rest and head.get("abandoned") and head["expected"] == 0,
             f"the record before it misses {rest} bytes, and it begins with {head.get('expected', 0)}")

    @staticmethod
    def check_record(record, head):
        header = record["header"]
        if len(header) < 24:    # the rest of it is in the sealed part
            return
        crc = crc32c.crc32c(header[:20], record["state"] ^ ALL_ONES)
        need(crc == int.from_bytes(header[20:], "little"), "the record that ends in it has another checksum")
        previous = int.from_bytes(header[8:16], "little")
        need(record["previous"] in (None, previous), "the record that ends in it follows another one")
        is_switch = header[17] == 0 and header[16] & 0xf0 == 0x40
        need(is_switch == head.get("zeros_follow", False), "the record that ends in it is a switch, or is none")


def extract(cluster, keyring, system, name, directory, target=None, pad=0):
    """Write one WAL file, verified, as DIRECTORY/TARGET; it is there whole or not at all. One that is there must be the same."""
    obj = cluster.read(place_of_wal(system, name))
    keyring.open(cluster, obj)
    check_sealed(obj)
    path, temporary = os.path.join(directory, target or name), os.path.join(directory, f".{target or name}.tmp")
    if os.path.exists(path):
        with open(path, "rb") as file:
            same = all(file.read(len(data)) == data for data in obj.contents()) and not file.read().strip(b"\0" if pad else b"")
        need(same, f"{path}: is there with other content")
        return
    with open(temporary, "wb") as file:
        for data in obj.contents():
            file.write(data)
        file.write(bytes(max(0, pad - obj.plain)))
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)


# --- Backups ---------------------------------------------------------------------------------------------------------

LEFT_OUT = [b"standby.signal", b"recovery.signal", b"postmaster.pid", b"postmaster.opts", b"pgcairn.session",
            b"pgcairn.restore.json", b"tablespace_map"]
LAST = b"global/pg_control"


def raw_path(line, kind):
    """A path in a manifest line, bytes."""
    if kind + "_hex" in line:
        need(kind not in line and re.fullmatch("([0-9a-f]{2})*", get(line, kind + "_hex", str)), "its path is damaged")
        path = bytes.fromhex(line[kind + "_hex"])
    else:
        path = get(line, kind, str).encode()
    need(b"\0" not in path and len(path) < 1024, f"a path that is refused: {path[:1024]!r}")
    return path


def path_of(line, kind):
    """The path of a line. No part of it leads out of the directory below which it will be written."""
    path, absolute = raw_path(line, kind), kind == "config"
    need(path.startswith(b"/") == absolute, f"a path that is refused: {path!r}")
    parts = path[1:].split(b"/") if absolute else path.split(b"/")
    need(not {b"", b".", b".."} & set(parts), f"a path that is refused: {path!r}")
    through_a_link = not absolute and parts[0] == b"pg_tblspc" and len(parts) > 2
    need(not through_a_link or parts[2].startswith(b"PG_"), f"a path that is refused: {path!r}")
    return path


class Backup:
    def __init__(self, cluster, keyring, label):
        self.cluster, self.keyring, self.label = cluster, keyring, label
        self.manifest = cluster.newest_generation(f"backup/{label}/", "manifest-")
        self.clear = self.manifest.clear
        self.packs, self.last_frame = {}, (None, None, b"")
        self.tablespaces, self.settings, self.configs, self.found, self.libc = {}, [], set(), set(), None

    def lines(self):
        """(number, kind, path, line) of each line of the manifest."""
        self.keyring.open(self.cluster, self.manifest)
        rest, number = b"", 0
        for data in self.manifest.contents():
            *whole, rest = (rest + data).split(b"\n")
            need(len(rest) <= 2**24, f"{self.manifest.place}: a line is too long")
            for raw in whole:
                number += 1
                with about(f"{self.manifest.place}: line {number}"):
                    line = parse_json(raw)
                    kinds = [k for k in ("tablespace", "dir", "file", "config", "bad_page", "end")
                             if k in line or k + "_hex" in line]
                    need(len(kinds) == 1, "of an unknown kind: a newer reader is needed")
                    kind = kinds[0]
                    path = None if kind in ("end", "tablespace") else path_of(line, kind)
                yield number, kind, path, line
        need(not rest, f"{self.manifest.place}: the last line is not closed")

    def check(self):
        """Read all lines before anything is made of them."""
        counts = dict.fromkeys(("tablespace", "dir", "file", "config", "bad_page", "end"), 0)
        size = 0
        for number, kind, path, line in self.lines():
            with about(f"{self.manifest.place}: line {number}"):
                need(not counts["end"], "behind the end")
                self.check_line(number, kind, path, line)
                counts[kind] += 1
                size += line["size"] if kind == "file" else 0
                if kind == "end":
                    need(all(get(line, k + "s", int) == n for k, n in counts.items() if k != "end"), "lines are missing")
        with about(self.manifest.place):
            sealed = self.manifest.sealed() if self.manifest.sealed_part else {}
            if "collation" in sealed and "libc" in get(sealed, "collation", dict):
                self.libc = get(sealed["collation"], "libc", str)
            need(counts["end"] == 1, "its end is missing")
            for name, value in (("files", counts["file"]), ("size", size), ("bad_pages", counts["bad_page"])):
                need(self.clear[name] == value, f"the clear part says another number of {name}")
            need({b"PG_VERSION", b"backup_label", LAST} <= self.found, "PG_VERSION, backup_label or pg_control is missing")

    def check_line(self, number, kind, path, line):
        if kind == "tablespace":
            oid = get(line, "tablespace", int, 1, 2**32 - 1)
            need(number == len(self.tablespaces) + 1 and oid not in self.tablespaces, "a tablespace that is not first, or twice")
            self.tablespaces[oid] = raw_path(line, "location")
            need(self.tablespaces[oid].startswith(b"/"), "the location of the tablespace is not absolute")
        elif kind == "dir":
            get(line, "mode", int, 0, 0o7777)
        elif kind == "bad_page":
            get(line, "block", int)
        elif kind == "end":
            need(get(line, "end", bool), "its end is damaged")
        else:
            self.check_runs(line)
            self.note(kind, path, line)

    def note(self, kind, path, line):
        if path in (b"PG_VERSION", b"backup_label", LAST):
            self.found.add(path)
        if kind == "config":
            self.configs.add(b"pgcairn.config" + path)
        if "setting" in line:
            need(line["setting"] in ("config_file", "hba_file", "ident_file"), "an unknown setting: a newer reader is needed")
            self.settings.append((line["setting"], b"pgcairn.config" + path if kind == "config" else path))

    def check_runs(self, line):
        get(line, "mode", int, 0, 0o7777), get(line, "mtime", int, -2**63), get(line, "crc32c", int, 0, 2**32 - 1)
        size, offset, packs = get(line, "size", int), 0, self.clear["packs"]
        for begin, pack, start, length in get(line, "runs", list):
            need(type(begin) is type(pack) is type(start) is type(length) is int and begin == offset and length > 0
                 and start >= 0 and 0 <= pack < len(packs) and start + length <= packs[pack][0], "its runs are damaged")
            offset += length
        need(offset == size, "its runs are damaged")

    def pack(self, number):
        """A pack, if it is the one that the manifest pins."""
        obj = self.cluster.read(f"backup/{self.label}/pack-{number:06}")
        need([obj.plain, obj.size, obj.digest.hex()] == self.clear["packs"][number],
             f"{obj.place}: not the pack that the manifest names")
        return obj

    def open_pack(self, number):
        if number not in self.packs:
            if len(self.packs) >= 16:       # each has its frame table in memory
                self.packs.clear()
            self.packs[number] = self.pack(number)
            self.keyring.open(self.cluster, self.packs[number])
        return self.packs[number]

    def contents(self, line):
        for _, pack, start, length in line["runs"]:
            while length:
                index, within = divmod(start, FRAME)
                if self.last_frame[:2] != (pack, index):
                    self.last_frame = pack, index, self.open_pack(pack).frame(index)
                piece = self.last_frame[2][within:within + length]
                yield piece
                start, length = start + len(piece), length - len(piece)


# --- Restoring -------------------------------------------------------------------------------------------------------

def empty_directory(path):
    """Make it, or take it as it is when it is empty; its true name."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    need(not os.listdir(path), f"{os.fsdecode(path)}: not empty")
    os.chmod(path, 0o700)
    return os.path.realpath(path)


def fsync_directory(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def write_file(path, line, pieces):
    with about(os.fsdecode(path)):
        crc, size = 0, 0
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
            for piece in pieces:
                file.write(piece)
                crc, size = crc32c.crc32c(piece, crc), size + len(piece)
            os.fchmod(file.fileno(), line["mode"] & 0o777)
            file.flush()
            os.fsync(file.fileno())
        need((size, crc) == (line["size"], line["crc32c"]), "restored, but its checksum is not the one in the manifest")


def quoted(text):
    need("\n" not in text and "\r" not in text, "a line break in a name or a target")
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def settings(wal_directory, timeline, target):
    """The lines of postgresql.auto.conf. cp alone would call a full disk 'no such segment', and that ends recovery."""
    place = shlex.quote(wal_directory).replace("%", "%%")
    command = f'test -d {place} || exit 255; test -e {place}/%f || exit 1; cp {place}/%f "%p" || exit 255'
    values = {"restore_command": command, "recovery_target_timeline": str(timeline), "recovery_min_apply_delay": "0",
              "recovery_target": "", "recovery_target_lsn": "", "recovery_target_name": "", "recovery_target_time": "",
              "recovery_target_xid": "", "recovery_target_inclusive": "on", "recovery_target_action": "promote",
              "recovery_end_command": "", "archive_cleanup_command": "", "primary_conninfo": "", "primary_slot_name": "",
              "archive_mode": "off", "max_logical_replication_workers": "0"}
    values = {n: v for n, v in values.items() if n not in target} | target      # a target before an empty one is refused
    return "\n# written by escape-hatch.py\n" + "".join(f"{n} = {quoted(v)}\n" for n, v in values.items())


def make_tablespaces(backup, pgdata, places):
    """Directories and links; the text of tablespace_map, from which the server makes the links once more."""
    need(set(places) <= set(backup.tablespaces), f"--tablespace: the backup has these: {sorted(backup.tablespaces)}")
    paths = {oid: empty_directory(places.get(oid, location)) for oid, location in backup.tablespaces.items()}
    made = [pgdata, *paths.values()]
    for i, one in enumerate(made):
        nested = any(os.path.commonpath([one, other]) in (one, other) for other in made[:i])
        need(not nested, f"{os.fsdecode(one)}: it and another directory of this restore lie in each other")
    os.mkdir(os.path.join(pgdata, b"pg_tblspc"), 0o700)
    for oid, path in paths.items():
        os.symlink(path, os.path.join(pgdata, b"pg_tblspc/%d" % oid))
    return b"".join(b"%d %s\n" % (oid, re.sub(rb"([\\\n\r])", rb"\\\1", path)) for oid, path in paths.items()), made


INCLUDE = re.compile(rb"\s*(include|include_dir)\s*=?\s*'?([^'\s#][^'\n]*?)'?\s*(?:#.*)?", re.IGNORECASE)


def make_included(top, path):
    """What a configuration file below top includes and is in no line: empty directories, files that set nothing."""
    with open(path, "rb") as file, about(os.fsdecode(path)):
        for line in iter(lambda: file.readline(2048), b""):
            match = INCLUDE.fullmatch(line.strip())
            if not match:
                continue
            included = os.path.normpath(os.path.join(os.path.dirname(path), match[2]))
            if not included.startswith(top + b"/"):
                warn(f"{os.fsdecode(path)} still names {os.fsdecode(match[2])} of the original: point it below {os.fsdecode(top)}")
                continue
            os.makedirs(included if match[1].lower() == b"include_dir" else os.path.dirname(included), exist_ok=True)
            if not os.path.exists(included):
                warn(f"{os.fsdecode(included)} set nothing, and is made empty")
                os.close(os.open(included, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def restore(backup, pgdata, tablespaces, conf):
    """Everything but WAL. global/pg_control comes last: what broke off before cannot be started."""
    pgdata = empty_directory(pgdata)
    tablespace_map, tops = make_tablespaces(backup, pgdata, tablespaces)
    control = None
    for _, kind, path, line in backup.lines():
        target = os.path.join(pgdata, b"pgcairn.config" + path if kind == "config" else path or b"")
        if kind == "dir":
            with contextlib.suppress(FileExistsError):
                os.mkdir(target)
            os.chmod(target, line["mode"] & 0o777)
        elif kind == "file" and path == LAST:
            control = line
        elif kind == "config" or (kind == "file" and path not in LEFT_OUT and path not in backup.configs):
            if kind == "config":
                os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
            write_file(target, line, backup.contents(line))
    for path in backup.configs:
        make_included(os.path.join(pgdata, b"pgcairn.config"), os.path.join(pgdata, path))
    for name, data in ((b"postgresql.auto.conf", conf.encode()), (b"recovery.signal", b""), (b"tablespace_map", tablespace_map)):
        if data or name == b"recovery.signal":
            with open(os.open(os.path.join(pgdata, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
    for top in tops:
        for directory, _, _ in os.walk(top):
            fsync_directory(directory)
        fsync_directory(os.path.dirname(top))
    write_file(os.path.join(pgdata, LAST), control, backup.contents(control))
    fsync_directory(os.path.join(pgdata, b"global"))
    return os.fsdecode(pgdata)


# --- Commands --------------------------------------------------------------------------------------------------------

def clusters(repository, options):
    names = [n[:-1] for n in repository.names("clusters/") if n.endswith("/") and re.fullmatch(WORD, n[:-1])
             and "0000" in repository.names(f"clusters/{n}signers/")]
    need(not options.cluster or options.cluster in names, f"no cluster '{options.cluster}'; there are: {', '.join(names)}")
    return [options.cluster] if options.cluster else names


def one_cluster(repository, options):
    names = clusters(repository, options)
    need(len(names) == 1, f"--cluster NAME is needed; there are: {', '.join(names) or 'none'}")
    return Cluster(repository, names[0], options.founders)


class Complaints:
    """What list and verify found wrong: they go on behind it."""

    def __init__(self):
        self.count = 0

    @contextlib.contextmanager
    def noted(self):
        try:
            yield
        except (Refused, OSError) as error:
            self.count += 1
            print(f"  WRONG: {error}")


def backups_of(cluster, complaints):
    found = []
    for label in [n[:-1] for n in cluster.names("backup/") if n.endswith("/") and re.fullmatch(WORD, n[:-1])]:
        with complaints.noted(), contextlib.suppress(Missing):
            clear = cluster.newest_generation(f"backup/{label}/", "manifest-").clear
            found.append(((cluster.lineage[clear["system_identifier"]][0], position(clear["stop_lsn"]), clear["stop_timeline"],
                           position(clear["start_lsn"]), label), clear))
    return [clear for _, clear in sorted(found, key=lambda pair: pair[0])]


def ranges(numbers):
    """[first, last] of those that follow each other."""
    found = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def check_range(wal, names, complaints):
    """Read the clear parts of neighbours; says when their transactions ended."""
    joins, times = Joins(), []
    for name in names:
        clear = None
        with complaints.noted():
            obj = wal.cluster.read(place_of_wal(wal.system, name))
            clear = obj.clear
            with about(obj.place):
                joins.add(clear)
                if get(clear, "commits", int):
                    times = [min([get(clear, "min_time", int), *times]), max([get(clear, "max_time", int), *times])]
        if clear is None:
            joins = Joins()
    return f", transactions ended from {when(times[0])} to {when(times[1])}" if times else ""


def list_timeline(wal, timeline, complaints):
    path = wal.path(timeline)
    print(f"  timeline {timeline}:" + (f" begins at {lsn(path[-1][1])}" if timeline != 1 else ""))
    behind = None
    for first, last in ranges(wal.segments.get(timeline, ())):
        names = [segment_name(timeline, n, wal.segment_size) for n in range(first, last + 1)]
        if behind is not None:
            print(f"    HOLE of {first - behind} segments: {wal.why_missing(segment_name(timeline, behind, wal.segment_size))}")
        before = wal.find(path, first - 1)
        times = check_range(wal, [before] * bool(before) + names, complaints)
        print(f"    {names[0]} to {names[-1]}: {len(names)} segments{times}")
        behind = last + 1
    for number in sorted(wal.partials.get(timeline, ())):
        print(f"    {segment_name(timeline, number, wal.segment_size)}.partial")


def command_list(repository, options):
    complaints = Complaints()
    print(f"repository {repository.id.hex()}")
    for name in clusters(repository, options):
        with complaints.noted():
            print(f"cluster {name}")
            cluster = Cluster(repository, name, options.founders)
            print(f"  id {cluster.id.hex()}, founded by {cluster.founder.hex()}, {len(cluster.signers)} signers, "
                  f"{'encrypted' if cluster.encrypted else 'NOT encrypted'}")
            for system, (_, major, size) in cluster.lineage.items():
                print(f"  system {system}: PostgreSQL {major}, segments of {size // 2**20} MiB")
                wal = Wal(cluster, system)
                for timeline in wal.timelines():
                    with complaints.noted():
                        list_timeline(wal, timeline, complaints)
            for clear in backups_of(cluster, complaints):
                stored = sum(pack[1] for pack in clear["packs"])
                print(f"  backup {clear['label']}: {clear['type']}, system {clear['system_identifier']}, "
                      f"timeline {clear['stop_timeline']}, {clear['start_lsn']} to {clear['stop_lsn']}, "
                      f"{when(get(clear, 'start_time', int))} to {when(get(clear, 'stop_time', int))}, {clear['files']} files, "
                      f"{clear['size']} bytes, {stored} stored, {clear['bad_pages']} bad pages")
            for place in repository.below(cluster.folder + "gaps/"):
                if kind_of(place[len(cluster.folder):])[0] == RECORD:
                    with complaints.noted():
                        clear = cluster.read(place[len(cluster.folder):]).clear
                        print(f"  gap {clear['file']}: given up at {clear['time']!r} by {clear['by']!r}: {clear['reason']!r}")
            for place in repository.below(cluster.folder + "conflict/"):
                if kind_of(place[len(cluster.folder):])[0]:
                    with complaints.noted():
                        obj = cluster.read(place[len(cluster.folder):])
                        decided = f" at {obj.clear['time']!r} by {obj.clear['by']!r}" if obj.kind == RECORD else ""
                        print(f"  conflict {obj.name[9:]}{decided}")
    return 1 if complaints.count else 0


def readable(cluster, obj, keyring):
    """Open the object's key. False when there is no identity, or it is sealed to others; a missing key is an error then too."""
    try:
        keyring.open(cluster, obj)
    except NotForUs:
        cluster.epoch_key(obj)
        return False
    return True


def verify_object(cluster, name, keyring):
    obj = cluster.read(name)
    is_readable = readable(cluster, obj, keyring)
    for i in range(obj.frames):
        with about(f"{obj.place}: frame {i}"):
            obj.frame(i) if is_readable else obj.stored_frame(i)
    if is_readable and obj.kind in (*WAL_KINDS, QUARANTINE):
        check_sealed(obj)
    if obj.kind == MANIFEST:
        backup = Backup(cluster, keyring, name.split("/")[1])
        for number in range(len(obj.clear["packs"])):
            backup.pack(number)
        if is_readable:
            backup.check()


def command_verify(repository, options):
    complaints, objects, unknown = Complaints(), 0, 0
    for cluster_name in clusters(repository, options):
        with complaints.noted():
            cluster = Cluster(repository, cluster_name, options.founders)
            for place in repository.below(cluster.folder):
                name = place[len(cluster.folder):]
                if not kind_of(name)[0]:
                    unknown += 1
                    continue
                objects += 1
                with complaints.noted():
                    verify_object(cluster, name, options.keyring)
    print(f"{objects} objects, {complaints.count} wrong, {unknown} files that are nobody's"
          + ("" if options.identity else "; contents of encrypted objects were not opened: no --identity"))
    return 1 if complaints.count else 0


def command_wal(repository, options):
    cluster = one_cluster(repository, options)
    system = options.system or list(cluster.lineage)[-1]
    names = Wal(cluster, system).all_files() if options.all else options.file
    need(names, "which? Name WAL files, or --all")
    os.makedirs(options.output, exist_ok=True)
    for name in names:
        extract(cluster, options.keyring, system, name, options.output)
    fsync_directory(options.output)
    print(f"{len(names)} WAL files of system {system} are in {options.output}")
    return 0


def start_command(backup, pgdata):
    major = backup.clear["major"]
    binary = f"/usr/lib/postgresql/{major}/bin/postgres"
    words = [binary if os.path.exists(binary) else "postgres", "-D", pgdata]
    for setting, path in backup.settings:
        words += ["-c", f"{setting}={os.path.join(pgdata, os.fsdecode(path))}"]
    if backup.settings:
        words += ["-c", f"data_directory={pgdata}", "-c", "external_pid_file="]
    return shlex.join(words)


def command_backup(repository, options):
    need(os.geteuid() != 0, "run this as the user who will run the server: it may not be root")
    cluster = one_cluster(repository, options)
    label = options.label
    if not label:
        complete = backups_of(cluster, Complaints())
        need(complete, "there is no backup")
        label = complete[-1]["label"]
    need(re.fullmatch(WORD, label), "that is no label of a backup")
    backup = Backup(cluster, options.keyring, label)
    need(get(backup.clear, "major", int) >= 12, "older than PostgreSQL 12: there recovery is configured in another way")
    backup.check()
    system = backup.clear["system_identifier"]
    wal = Wal(cluster, system)
    path = (wal.path(options.target_timeline) if options.target_timeline else
            wal.newest_from(backup.clear["stop_timeline"], position(backup.clear["stop_lsn"])))
    files = wal.needed(backup.clear, path)
    pgdata, wal_directory = os.path.abspath(options.pgdata), os.path.abspath(options.wal or options.pgdata.rstrip("/") + ".wal")
    need(not os.path.exists(pgdata) or not os.listdir(pgdata), f"{pgdata}: not empty")
    os.makedirs(wal_directory, mode=0o700, exist_ok=True)
    for name, target in files:
        pad = 0 if name.endswith(".history") else wal.segment_size
        extract(cluster, options.keyring, system, name, wal_directory, target, pad)
    fsync_directory(wal_directory)
    target = {f"recovery_target_{n}": v for n, v in (("time", options.target_time), ("lsn", options.target_lsn)) if v}
    places = {int(oid): os.fsencode(os.path.abspath(place)) for oid, place in options.tablespace}
    pgdata = restore(backup, os.fsencode(pgdata), places, settings(wal_directory, path[-1][0], target))
    print(f"backup {label} is in {pgdata}, {len(files)} WAL files are in {wal_directory}")
    if backup.clear["bad_pages"]:
        warn(f"{backup.clear['bad_pages']} pages had failed their checksum when the backup was taken, and are as they were")
    if backup.libc:
        print(f"the original's C library was {backup.libc!r}: with another one, REINDEX what its locales sort")
    print(f"it needs PostgreSQL {backup.clear['major']}; archiving is off in it. Start it as this user with:")
    print(start_command(backup, pgdata))
    return 0


def target_time(text):
    moment = datetime.datetime.fromisoformat(re.sub("Z$", "+00:00", re.sub(r"([+-]\d\d)$", r"\1:00", text)))
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError("say the offset, e.g. '2026-01-31 14:59:00+00': else nobody knows which hour is meant")
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f+00")


def target_lsn(text):
    try:
        return lsn(position(text))
    except Refused as error:
        raise argparse.ArgumentTypeError(error) from None


def tablespace_place(text):
    oid, place = text.split("=", 1)
    return int(oid), place


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", help="the directory in which pgcairn.json lies")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run in (("list", command_list), ("verify", command_verify), ("wal", command_wal), ("backup", command_backup)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--cluster", metavar="NAME")
        command.add_argument("--signers", metavar="FILE", help="ed25519 keys, one of which must have founded the cluster")
        if name != "list":
            command.add_argument("--identity", metavar="FILE", help="the file that opens what is encrypted")
        if name == "wal":
            command.add_argument("--output", metavar="DIR", required=True)
            command.add_argument("--system", help="system identifier; the newest unless given")
            command.add_argument("--all", action="store_true")
            command.add_argument("file", nargs="*", help="a segment, .partial, .backup or .history")
        if name == "backup":
            command.add_argument("label", nargs="?", help="the newest unless given")
            command.add_argument("--pgdata", metavar="DIR", required=True, help="a directory that is empty or not there")
            command.add_argument("--wal", metavar="DIR", help="where the WAL goes; PGDATA.wal unless given")
            command.add_argument("--tablespace", metavar="OID=DIR", type=tablespace_place, action="append", default=[])
            command.add_argument("--target-time", type=target_time, help="with an offset; to the end of WAL unless given")
            command.add_argument("--target-lsn", type=target_lsn)
            command.add_argument("--target-timeline", type=int, help="the newest that comes from the backup unless given")
    return parser.parse_args()


def main():
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")   # a name may be anything
    os.umask(0o077)
    options = parse_options()
    try:
        options.founders = keys_in_file(options.signers, "ed25519") if options.signers else None
        options.keyring = Keyring(getattr(options, "identity", None))
        if options.founders is None:
            warn("trust on first use: no --signers, so nothing proves that whoever founded this cluster is you")
        return options.run(Repository(options.repository), options)
    except (Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
