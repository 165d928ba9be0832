"""Objects of a repository as somebody writes them who knows the format and has a signing key: right, and wrong wherever a test likes."""

import hashlib
import json
import struct

import nacl.bindings


def key_pair(seed):
    """A public key, and what signs: the same for the same seed, 32 bytes or a number."""
    return nacl.bindings.crypto_sign_seed_keypair(seed if isinstance(seed, bytes) else bytes([seed]) * 32)


def digest(data):
    return hashlib.blake2b(data, digest_size=32).digest()


def as_json(value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


class Frame:
    def __init__(self, stored, encoding=0, plain=None):
        self.stored, self.encoding, self.plain = stored, encoding, len(stored) if plain is None else plain


def write_object(path, name, kind, clear, frames=(), *, signer, cluster, codec=0, version=0, features=0, sealed=b"", zero=0, drop=0):
    """Without cipher; name is the one in its header. Its size and digest."""
    name = name.encode()
    header = struct.pack("<8sHHBBBBQ16s16sHHI", b"PGCAIRN\n", version, 64 + len(name), kind, codec, 0, 20, features,
                         cluster, bytes(16), len(name), 0, zero) + name
    table = b"".join(struct.pack("<IB3s32s", len(f.stored), f.encoding, b"", digest(f.stored)) for f in frames)
    clear, stored, plain = as_json(clear), b"".join(f.stored for f in frames), sum(f.plain for f in frames)
    numbers = (len(header), len(frames), len(clear), len(sealed), 104)
    root = digest(digest(header) + digest(table) + digest(clear) + digest(sealed)
                  + struct.pack("<5I2Q", *numbers, len(stored), plain))
    signature = nacl.bindings.crypto_sign(b"pgcairn object signature 0\0" + root, signer[1])[:64]
    block = b"\1" + bytes(7) + signer[0] + signature
    tail = struct.pack("<8s6I2Q32s", b"CAIRNEND", *numbers, 0, len(stored), plain, digest(root + block))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((header + stored + table + clear + sealed + block + tail)[drop:])
    return path.stat().st_size, digest(root + block).hex()
