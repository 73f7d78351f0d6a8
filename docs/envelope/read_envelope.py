#!/usr/bin/env python3
"""What does an entry of Bellwether say? A reader of envelope version 1 (docs/envelope/README.md).

    redis-cli GET bw:product:42 > entry            (one byte of newline at its end is passed over)
    read_envelope.py bw:product:42 entry           prints its fields as JSON
    read_envelope.py bw:product:42 entry --body    prints its payload alone
    read_envelope.py bw:product:42 --redis 127.0.0.1:6379

The key is the whole name under which it is stored, prefix included. As a module: `read(key, stored, now_ms)`.
Standard library only, but for zstd before Python 3.14: `pip install zstandard`.
"""

import argparse
import json
import socket
import struct
import sys
import time

MAGIC = b"\xb5BW1"
HEADER = struct.Struct("<4sBBBBQQQQQQQIIII")  # 80 bytes
KINDS = ["placeholder", "value", "negative", "tombstone", "hit-for-miss", "failed"]
COMPRESSIONS = ["none", "lz4", "zstd"]
FORMATS = ["bytes", "utf8", "json", "msgpack", "protobuf"]
HAS_CRC, IS_COPY, HAS_EXTENSIONS = 1, 2, 4
LONGEST_MS = 400 * 24 * 3600 * 1000
MAX_RAW = 16 << 20
MOST_EXTENSIONS = 255


class Unreadable(Exception):
    """It can't be vouched for: a miss. `reason` is one word of a closed list."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class NeedsZstd(Exception):
    """The payload is compressed with zstd, and no module for it is installed."""


def _table():
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


_CRC = list(_table())


def crc32c(data):
    """Castagnoli's CRC, as iSCSI and SSE 4.2 have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def read(key, stored, now_ms=None, max_raw=MAX_RAW):
    """The fields of `stored`, found under `key` (both bytes), as a dict; `payload` is bytes.

    Raises Unreadable where it can't be vouched for, NeedsZstd where a module is missing."""
    now_ms = int(time.time() * 1000) if now_ms is None else now_ms
    _check_magic(stored)
    if len(stored) < HEADER.size:
        raise Unreadable("bad_header")
    (_, kind, codec, flags, length, fence, token, lease_until, created_at, fresh_until, swr_until, hard_until,
     cost_ms, raw_length, crc, lease_ms) = HEADER.unpack_from(stored)
    if kind >= len(KINDS):
        raise Unreadable("bad_header")
    if codec & 15 >= len(COMPRESSIONS) or codec >> 4 >= len(FORMATS):
        raise Unreadable("unknown_codec")
    if flags & ~7 or length < HEADER.size or (crc and not flags & HAS_CRC) or length > len(stored):
        raise Unreadable("bad_header")
    rest = stored[length:]
    if flags & HAS_CRC and crc32c(key + stored[:8] + stored[64:72] + rest) != crc:
        raise Unreadable("bad_crc")
    if not fresh_until <= swr_until <= hard_until <= now_ms + LONGEST_MS:
        raise Unreadable("bad_times")
    has_body = KINDS[kind] in ("value", "negative")
    more, payload = _extensions(rest if has_body and flags & HAS_EXTENSIONS else None), b""
    if has_body:
        if more["full_key"] is not None and more["full_key"] != key:
            raise Unreadable("other_key")
        if raw_length > max_raw:
            raise Unreadable("too_large")
        payload = _inflate(COMPRESSIONS[codec & 15], rest[more.pop("length"):], raw_length)
        if len(payload) != raw_length:
            raise Unreadable("bad_body")
    more.pop("length", None)
    return {
        "kind": KINDS[kind], "compression": COMPRESSIONS[codec & 15], "format": FORMATS[codec >> 4],
        "is_copy": bool(flags & IS_COPY), "fence": fence, "token": token, "lease_until": lease_until,
        "created_at": created_at, "fresh_until": fresh_until, "swr_until": swr_until, "hard_until": hard_until,
        "lease_ms": lease_ms, "cost_ms": cost_ms, "raw_length": raw_length, **more, "payload": payload,
    }


def _check_magic(stored):
    right = sum(found == expected for found, expected in zip(stored, MAGIC))
    if right == 4:
        return
    if right == 3 and stored[:3] == MAGIC[:3]:
        raise Unreadable("future_version")
    # One wrong byte in the magic of what is otherwise an envelope is damage, not somebody else's value.
    if right == 3 and len(stored) >= HEADER.size and stored[7] == HEADER.size and stored[4] < len(KINDS):
        raise Unreadable("bad_header")
    raise Unreadable("foreign")


def _extensions(rest):
    """Type (u8), length (u16), bytes, again and again, up to a type of 0."""
    found = {"seen": None, "tags": [], "version": None, "full_key": None, "salts": [], "own": [], "length": 0}
    if rest is None:
        return found
    at, count, once = 0, 0, set()
    while True:
        if at >= len(rest) or count > MOST_EXTENSIONS:
            raise Unreadable("bad_extension")
        kind = rest[at]
        if kind == 0:
            found["length"] = at + 1
            return found
        size = int.from_bytes(rest[at + 1:at + 3], "little")
        body = rest[at + 3:at + 3 + size]
        if at + 3 > len(rest) or len(body) < size or (kind <= 5 and kind in once):
            raise Unreadable("bad_extension")
        once.add(kind)
        _extension(found, kind, body)
        at, count = at + 3 + size, count + 1


def _extension(found, kind, body):
    if kind == 1 and len(body) == 16:
        found["seen"] = list(struct.unpack("<QQ", body))
    elif kind == 2 and body and len(body) % 8 == 0:
        found["tags"] = list(struct.unpack(f"<{len(body) // 8}Q", body))
    elif kind == 3 and len(body) == 8:
        found["version"] = int.from_bytes(body, "little")
    elif kind == 4:
        found["full_key"] = body
    elif kind == 5 and body and len(body) % 4 == 0:
        found["salts"] = list(struct.unpack(f"<{len(body) // 4}I", body))
    elif kind >= 64:
        found["own"].append([kind, body])
    elif kind <= 5:
        raise Unreadable("bad_extension")


def _inflate(compression, packed, raw_length):
    if compression == "none":
        return packed
    if compression == "lz4":
        return _lz4(packed, raw_length)
    try:
        return _zstd(packed, raw_length)
    except NeedsZstd:
        raise
    except Exception:
        raise Unreadable("bad_body") from None


def _zstd(packed, raw_length):
    # Both stop at one byte more than was promised: nothing larger is ever made.
    try:
        from compression import zstd
        return zstd.ZstdDecompressor().decompress(packed, raw_length + 1)
    except ImportError:
        pass
    try:
        import zstandard
        with zstandard.ZstdDecompressor().stream_reader(packed) as stream:
            return stream.read(raw_length + 1)
    except ImportError:
        raise NeedsZstd("the payload is compressed with zstd: pip install zstandard (or use Python 3.14)") from None


def _lz4(packed, raw_length):
    """One block of LZ4: literals, then a copy of what went before, again and again."""
    out, at = bytearray(), 0

    def length(nibble):
        nonlocal at
        total = nibble
        while nibble == 15:
            byte = packed[at]
            at, total = at + 1, total + byte
            if byte != 255:
                break
        return total

    try:
        while at < len(packed):
            token = packed[at]
            at += 1
            literals = length(token >> 4)
            if at + literals > len(packed) or len(out) + literals > raw_length:
                raise Unreadable("bad_body")
            out += packed[at:at + literals]
            at += literals
            if at == len(packed):
                return bytes(out)
            offset = packed[at] | packed[at + 1] << 8
            at += 2
            copied = length(token & 15) + 4
            if not 0 < offset <= len(out) or len(out) + copied > raw_length:
                raise Unreadable("bad_body")
            for _ in range(copied):
                out.append(out[-offset])
    except IndexError:
        pass
    raise Unreadable("bad_body")


def _from_redis(address, key):
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=5) as connection:
        connection.sendall(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key))
        stream = connection.makefile("rb")
        line = stream.readline()
        if not line.startswith(b"$"):
            raise SystemExit(f"{address} answers: {line.decode(errors='replace').strip()}")
        size = int(line[1:])
        if size < 0:
            raise SystemExit(f"{address} holds nothing under this key")
        return stream.read(size)


def _shown(value):
    if isinstance(value, bytes):
        return value.hex()
    return [_shown(part) for part in value] if isinstance(value, list) else value


def main():
    parser = argparse.ArgumentParser(description="Reads an entry of Bellwether: envelope version 1.")
    parser.add_argument("key", nargs="?", help="the whole name under which it is stored, prefix included")
    parser.add_argument("file", nargs="?", help="the stored bytes; - for standard input")
    parser.add_argument("--key-hex", help="the key in hex, in place of KEY")
    parser.add_argument("--redis", metavar="HOST:PORT", help="ask this server, in place of FILE")
    parser.add_argument("--now", type=int, metavar="MS", help="another time than this machine's, in ms since 1970")
    parser.add_argument("--body", action="store_true", help="print the payload alone")
    given = parser.parse_args()
    if given.key_hex is not None and given.file is None:
        given.key, given.file = None, given.key
    if (given.key is None) == (given.key_hex is None) or (given.file is None) == (given.redis is None):
        parser.error("give a key and one of FILE and --redis")
    key = bytes.fromhex(given.key_hex) if given.key is None else given.key.encode(errors="surrogateescape")
    if given.redis:
        stored = _from_redis(given.redis, key)
    elif given.file == "-":
        stored = sys.stdin.buffer.read()
    else:
        with open(given.file, "rb") as file:
            stored = file.read()
    try:
        found = _read_as_saved(key, stored, given.now)
    except Unreadable as problem:
        print(json.dumps({"unreadable": problem.reason}))
        raise SystemExit(1) from None
    except NeedsZstd as problem:
        raise SystemExit(str(problem)) from None
    if given.body:
        sys.stdout.buffer.write(found["payload"])
    else:
        print(json.dumps({name: _shown(value) for name, value in found.items()}, indent=2))


def _read_as_saved(key, stored, now_ms):
    try:
        return read(key, stored, now_ms)
    except Unreadable:
        # `redis-cli GET key > file` adds a newline.
        if not stored.endswith(b"\n"):
            raise
        try:
            return read(key, stored[:-1], now_ms)
        except Unreadable:
            pass
        raise


if __name__ == "__main__":
    try:
        main()
    except OSError as problem:
        raise SystemExit(f"read_envelope.py: {problem}") from None
