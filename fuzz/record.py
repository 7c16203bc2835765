#!/usr/bin/env python3
"""Records seeds for the fuzzers: what real drivers and a real server say to each other, and rows in every format.

    fuzz/record.py HYDRON      writes fuzz/corpus/*; needs clickhouse-driver and proton-driver (tests/wire/requirements.txt)

A seed begins with the bytes that its target reads first (crates/oracles): how the rest is cut, and so on.
"""

import glob
import gzip
import http.client
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
SEED_BYTES_MAX = 4096

TYPES = {
    "bool": "true", "int8": "-1", "uint16": "65535", "int32": "-7", "uint64": "18446744073709551615", "int128": "-1", "uint256": "258",
    "float32": "1.5", "float64": "'nan'", "decimal(9, 2)": "'-1.25'", "decimal(38, 10)": "'1.0000000001'", "decimal(76, 20)": "'1.5'",
    "string": "'some text'", "fixed_string(3)": "'ab'", "date": "'2024-02-29'", "date32": "'1900-01-01'",
    "datetime('Asia/Shanghai')": "'2024-02-29 12:34:56'", "datetime64(3, 'UTC')": "'2024-02-29 12:34:56.789'", "uuid":
    "'61f0c404-5cb3-11e7-907b-a6006ad3dba0'", "ipv4": "'1.2.3.4'", "ipv6": "'2001:db8::1'", "enum8('a' = -1, 'b' = 2)": "'b'",
    "nullable(int32)": "NULL", "nullable(string)": "'x'", "low_cardinality(string)": "'x'", "low_cardinality(nullable(string))": "NULL",
    "array(uint8)": "[1, 2]", "array(array(nullable(string)))": "[['a', NULL], []]", "array(low_cardinality(string))": "['a', 'b']",
    "tuple(x int8, y string)": "(1, 'a')", "map(string, array(uint64))": "map_cast('a', [1], 'b', [])", "json": "'{\"a\":1,\"b\":[true]}'",
}
FORMATS = ["JSONEachRow", "CSV", "TSV", "Values", "RowBinary", "JSONCompactEachRow", "TSKV", "CSVWithNames",
           "RowBinaryWithNamesAndTypes", "JSONCompactEachRowWithNamesAndTypes", "Native", "TSVWithNamesAndTypes", "JSONAsString"]
# The columns of crates/oracles/src/rows.rs.
ROW = """SELECT to_int32(-5) AS i, 'a "b"\\n' AS s, to_datetime64('2024-02-29 12:34:56.789', 3, 'UTC') AS d, cast(NULL, 'nullable(float64)') AS n,
    cast(['x', NULL], 'array(nullable(string))') AS a, cast(map_cast('k', 1), 'map(string, int64)') AS m,
    cast((1, 1.5), 'tuple(x uint8, y decimal(18, 4))') AS t, cast('a', 'enum8(\\'a\\' = 1, \\'b\\' = -2)') AS e,
    cast('l', 'low_cardinality(string)') AS l, to_uuid('61f0c404-5cb3-11e7-907b-a6006ad3dba0') AS u, cast('{"q":1}', 'json') AS j,
    true AS b, to_int256(-9) AS w, to_fixed_string('abc', 3) AS f, to_date('2024-02-29') AS o, to_ipv6('::1') AS p FROM numbers(2)"""


def seed(target, name, data):
    directory = os.path.join(HERE, "corpus", target)
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")), "wb") as f:
        f.write(bytes(data[:SEED_BYTES_MAX]))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Tap:
    """Passes a connection on, and keeps what both sides say."""

    def __init__(self, port):
        self.target, self.listener = port, socket.create_server(("127.0.0.1", 0))
        self.port, self.sessions = self.listener.getsockname()[1], []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            far, said = socket.create_connection(("127.0.0.1", self.target)), (bytearray(), bytearray())
            self.sessions.append(said)
            for one, other, kept in ((near, far, said[0]), (far, near, said[1])):
                threading.Thread(target=self.pump, args=(one, other, kept), daemon=True).start()

    @staticmethod
    def pump(one, other, kept):
        try:
            while data := one.recv(65536):
                kept += data
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def ask(port, query, **settings):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/?" + urllib.parse.urlencode(settings), query.encode())
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        sys.exit(f"{query}: {body.decode(errors='replace')}")
    return body


def blocks(port):
    for i, (ty, value) in enumerate(TYPES.items()):
        query = f"SELECT cast({value}, '{ty.replace(chr(39), chr(92) + chr(39))}') AS c FROM numbers({1 + i % 3}) FORMAT Native"
        for mode, revision in ((0, 0), (3, 54459)):
            data = ask(port, query, client_protocol_version=revision)
            seed("native_block", f"{ty}-{revision}", bytes([mode, i % 7]) + data)
        seed("type_name", ty, ty.encode())
        seed("type_name", f"clickhouse-{i}", ask(port, f"SELECT to_type_name(cast({value}, '{ty.replace(chr(39), chr(92) + chr(39))}'))",
                                                 type_names="clickhouse").strip().replace(b"\\'", b"'"))


def rows(port):
    for i, name in enumerate(FORMATS):
        query = ROW if name != "JSONAsString" else "SELECT 1 AS s"
        data = ask(port, f"{query} FORMAT {'JSONEachRow' if name == 'JSONAsString' else name}")
        seed("rows", name, bytes([i, 255]) + data)
        seed("rows", f"{name}-cut", bytes([i, 2]) + data)


def sessions(tcp):
    import clickhouse_driver
    import proton_driver

    script = [
        ("CREATE STREAM IF NOT EXISTS seeds (i int64, s string, a array(nullable(string)))", None),
        ("INSERT INTO seeds (i, s, a) VALUES", [(1, "x", ["y", None]), (2, "", [])]),
        ("SELECT i, s, a FROM table(seeds)", None),
        ("SELECT number, to_string(number) FROM numbers(40)", None),
        ("SELECT cast('x', 'low_cardinality(string)'), map_cast('a', 1), tuple_cast(1, 'b')", None),
        ("SELECT * FROM nowhere", None),
    ]
    for module in (clickhouse_driver, proton_driver):
        for compression in (False, "lz4"):
            for step in range(len(script)):
                tap = Tap(tcp)
                client = module.Client("127.0.0.1", tap.port, compression=compression, settings={"max_threads": 1})
                try:
                    client.execute(*[p for p in script[step] if p is not None])
                except Exception as e:
                    if "nowhere" not in script[step][0]:
                        print(f"{module.__name__}: {e}")
                client.disconnect()
                said = tap.sessions[0]
                name = f"{module.__name__}-{'lz4' if compression else 'plain'}-{step}"
                seed("native_client", name, bytes([1, (step * 37) % 256]) + said[0])
                # Which of the revisions of crates/oracles/src/native.rs the driver announces, and whether blocks are compressed.
                revision = 3 if module is clickhouse_driver else 2
                seed("native_server", name, bytes([revision << 1 | bool(compression), (step * 37) % 256]) + said[1])
                for k, found in enumerate(re.finditer(rb"[\x82\x90\x02]....(....)", said[1], re.S) if compression else []):
                    at = found.start()
                    size = struct.unpack("<I", said[1][at + 1:at + 5])[0]
                    if 9 < size < 4096 and k < 3:
                        method = {0x02: 0, 0x82: 1, 0x90: 2}[said[1][at]]
                        seed("native_frame", f"{name}-{k}", bytes([5, method]) + said[1][at + 5:at + size])


def bodies():
    text = b"".join(b"row %d of many\n" % (i % 97) for i in range(400))
    seed("http_body", "gzip", bytes([0, 30]) + gzip.compress(text, mtime=0))
    seed("http_body", "deflate", bytes([1, 30]) + zlib.compress(text))
    try:
        from backports import zstd
        seed("http_body", "zstd", bytes([2, 30]) + zstd.compress(text))
        seed("native_frame", "zstd", bytes([9, 2]) + struct.pack("<I", len(text)) + zstd.compress(text))
    except ImportError:
        print("backports.zstd is not installed: no seed of zstd")
    try:
        import lz4.block
        import lz4.frame
        seed("http_body", "lz4", bytes([3, 30]) + lz4.frame.compress(text))
        seed("native_frame", "lz4", bytes([9, 1]) + struct.pack("<I", len(text)) + lz4.block.compress(text, store_size=False))
    except ImportError:
        print("lz4 is not installed: no seed of lz4")
    seed("native_frame", "plain", bytes([9, 0]) + struct.pack("<I", 40) + text[:40])


def statements():
    """Statements of the project's own tests."""
    known = set()
    for path in sorted(glob.glob(os.path.join(HERE, "../tests/sql/**/*.slt"), recursive=True)):
        with open(path) as f:
            for record in f.read().split("\n\n"):
                lines = [l for l in record.splitlines() if not l.startswith("#")]
                if not lines or not re.match(r"(statement|query)", lines[0]):
                    continue
                text = "\n".join(lines[1:]).split("\n----")[0].strip()
                shape = re.sub(r"[0-9]+|'[^']*'", "?", text)[:24]
                if text and len(text) < 600 and shape not in known:
                    known.add(shape)
                    # One of four: the fuzzer finds the others' ways by itself.
                    if len(known) % 4 == 0:
                        seed("sql", f"{os.path.basename(path)[:-4]}-{len(known)}", text.encode())


def main():
    statements()
    bodies()
    with tempfile.TemporaryDirectory(prefix="hydron-seeds-") as directory:
        http_port, tcp_port = free_port(), free_port()
        server = subprocess.Popen(
            [sys.argv[1], "server", "--data-dir", os.path.join(directory, "data"), "--http-port", str(http_port), "--tcp-port", str(tcp_port),
             "--rest-port", "0", "--set", "logger.level=error"], stdout=subprocess.PIPE, text=True)
        try:
            if "ready" not in server.stdout.readline():
                sys.exit("the server did not start")
            blocks(http_port)
            rows(http_port)
            sessions(tcp_port)
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main()
