#!/usr/bin/env python3
"""Writes the golden files from the layout tables, by code that shares nothing with StorageFormat.

Run once per format version; the files are the format's definition, so a difference is a break, not a reason to rerun.
"""
import pathlib, struct

def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF

def place(length, *fields):
    """Fields are (offset, struct format or None for bytes, value)."""
    out = bytearray(length)
    for offset, form, value in fields:
        data = value if form is None else struct.pack("<" + form, value)
        assert not any(out[offset:offset + len(data)]), offset
        assert offset + len(data) <= length
        out[offset:offset + len(data)] = data
    return bytes(out)

def sealed(page, seed):
    return page[:-4] + struct.pack("<I", crc32c(page[:-4], seed))

def write(name, data):
    lines = []
    for start in range(0, len(data), 16):
        row = data[start:start + 16]
        if any(row):
            lines.append(f"{start:04x}: {row.hex()}")
    lines.append(f"{len(data):04x}: end")
    (pathlib.Path(__file__).parent / f"{name}.hex").write_text("\n".join(lines) + "\n")

UUID = bytes.fromhex("00112233445566778899aabbccddeeff")

extents = [(2, 1, 2), (3, 2, 4), (1, 1, 1), (5, 2, 5), (7, 2, 3)]
header = place(
    4096,
    (0, None, b"JVDB"), (4, "H", 1), (6, "H", 1), (8, "I", 3), (12, "B", 2), (13, "B", 3), (14, "H", 0xFEFF),
    (16, "Q", 100), (24, "Q", 7), (32, "Q", 0x70000), (40, "Q", 0x10000), (48, "Q", 6), (56, "Q", 0x1122334455667788),
    (64, None, UUID), (80, "Q", 9), (88, "Q", 0x0706050403020100), (96, "Q", 0x0F0E0D0C0B0A0908),
    (104, "Q", 0xA1A2A3A4A5A6A7A8), (112, "Q", 0xB1B2B3B4B5B6B7B8), (120, "Q", 130), (128, "Q", 1024),
    (136, "Q", 1_700_000_000_000_000_001), (144, "Q", 1_700_000_000_000_000_002), (152, "I", 2), (156, "I", 2),
    (160, "I", 0xC1C2C3C4), (168, "Q", 555), (176, "Q", 0x1122334455667799), (184, "Q", 12), (192, "I", 0xD1D2D3D4),
    (196, "I", len(extents)),
    *[(256 + 12 * i, None, struct.pack("<III", *e)) for i, e in enumerate(extents)])
write("file-header", sealed(header, crc32c(b"JVDB header\x00")))

segment = place(
    4096,
    (0, None, b"NWSG"), (4, "H", 1), (6, "H", 1), (8, None, UUID), (24, "Q", 0x2A), (32, "Q", 0xDEADBEEF01020304),
    (40, "Q", 0xCAFEBABE05060708), (48, "Q", 0x29), (56, "Q", 67108864), (64, "Q", 998), (72, "I", 0xE1E2E3E4),
    (76, "I", 3), (80, "Q", 999), (88, "Q", 1_700_000_000_000_000_003), (96, "Q", 33554432), (104, "Q", 900))
write("segment-header", b"".join(sealed(segment, crc32c(b"NWSG header" + bytes([c]))) for c in (0, 1)))

reference = place(32, (0, "I", 77), (4, "I", 1234), (8, "H", 3), (12, "I", 0), (16, "I", 0x01020304),
                  (24, "Q", 0x1112131415161718))
body = reference + struct.pack("<fff", 1.5, -2.0, 0.25) + b"abc"
salt = crc32c(segment[8:48])
record = place(96, (0, None, b"NWRC"), (8, "I", salt), (12, "I", len(body)), (16, "B", 1), (18, "H", 1), (20, "I", 5),
               (24, "Q", 1000), (32, "Q", 21), (40, "Q", 997), (48, None, body))
record = record[:4] + struct.pack("<I", crc32c(record[8:48 + len(body)], salt)) + record[8:]
write("log-record", record)

write("body-delete", place(32, (0, "I", 77), (8, "H", 3), (16, "I", 0x01020304), (24, "Q", 0x1112131415161718)) + b"abc")
write("body-bulk", struct.pack("<IIQ", 2, 0, 0) + reference + reference)
write("body-resize", struct.pack("<II", 1, 0) + struct.pack("<III", 9, 4, 4))
write("body-checkpoint", struct.pack("<QQ", 6, 1000))
write("body-delete-database", struct.pack("<II", 5, 0))
write("body-commit", struct.pack("<IIQ", 4, 2, 0x0123456789ABCDEF) + struct.pack("<IIQQQ", 5, 0, 100, 1, 2)
      + struct.pack("<IIQQQ", 6, 0, 200, 3, 4))

def entry(number, dimension, metric, durability, interval, generation, name):
    data = struct.pack("<IIBBHIQ", number, dimension, metric, durability, len(name), 0, interval) + UUID
    data += struct.pack("<QQ", 1_700_000_000_000_000_004, generation) + name
    return data + bytes(-len(data) % 8)

indexed = struct.pack("<H", 4) + b"lang" + struct.pack("<H", 11) + b"author.name"
data = struct.pack("<IIBBHHHQ", 3, 8, 2, 0, 3, 0, len(indexed), 0) + UUID
data += struct.pack("<QQ", 1_700_000_000_000_000_006, 0) + b"pix" + indexed
write("catalogue-entry-indexed", data + bytes(-len(data) % 8))

entries = entry(2, 768, 0, 0, 0, 0x3132333435363738, b"docs") + entry(1, 3, 1, 1, 5_000_000, 0, b"images-2024_x")
length = 80 + len(entries) + 4
catalogue = place(length - 4, (0, None, b"NCAT"), (4, "H", 1), (6, "H", 1), (8, None, UUID), (24, "Q", 8), (32, "Q", 950),
                  (40, "Q", 1001), (48, "Q", 43), (56, "I", 3), (60, "I", 1), (64, "I", 2), (68, "I", length),
                  (72, "Q", 1_700_000_000_000_000_005), (80, None, entries))
catalogue += struct.pack("<I", crc32c(catalogue, crc32c(b"NCAT")))
write("catalogue", (catalogue + bytes(4096 - length)) * 2)

def field(key, value):
    return struct.pack("<H", len(key)) + key + value

def obj(*fields):
    data = b"".join(fields)
    return b"\x07" + struct.pack("<IHH", len(data), len(fields), 0) + data

values = [b"\x03" + struct.pack("<q", -1), b"\x00", b"\x05" + struct.pack("<I", 2) + "é".encode()]
array = b"\x06" + struct.pack("<II", len(b"".join(values)), 3) + b"".join(values)
fields = [field(b"array", array), field(b"flag", b"\x02"), field(b"nested", obj(field(b"off", b"\x01"))),
          field(b"score", b"\x04" + struct.pack("<d", 0.5)), field(b"text", b"\x05" + struct.pack("<I", 5) + b"hello")]
write("metadata", struct.pack("<HH", len(fields), 0) + b"".join(fields))

write("record-entry", place(32, (0, "Q", 0x1112131415161718), (8, "I", 1234), (12, "I", 0x01000005), (16, "Q", 1000),
                            (24, "I", 0x21222324), (28, "H", 3)))

codes = place(
    4096,
    (0, None, b"NCOD"), (4, "H", 1), (6, "H", 1), (8, None, UUID), (24, "Q", 9), (32, "Q", 7),
    (40, "Q", 0x3132333435363738), (48, "Q", 0x1122334455667788), (56, "Q", 300), (64, "I", 3), (68, "I", 5),
    (72, "I", 32), (76, "I", 16), (80, "I", 256), (84, "I", 3), (88, "I", 0x41424344), (92, "I", 48))
write("code-file-header", sealed(codes, crc32c(b"NCOD header\x01")))

row_seed = crc32c(struct.pack("<Q", 77), crc32c(UUID + struct.pack("<Q", 9) + b"\x05"))
write("code-row-checksum", struct.pack("<I", crc32c(bytes(range(32)) + bytes(range(100, 116)),
                                                    crc32c(struct.pack("<I", 0x21222324), row_seed))))
