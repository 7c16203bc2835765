#!/usr/bin/env python3
"""Measures Hydron through its HTTP port, next to DuckDB and chdb where they are installed, and prints ratios.

    bench/run                                   everything, 20 M and 10 M rows
    bench/run --rows 2000000 --events 1000000   smaller
    bench/run --cases S2 S3 'H*'                some

Cases: H1 H1b H2 H3 H4 H5 H6 (history), S1 S2 S3 S4 S5 S6 (a streaming query reads the log), I1 I2 I3 (ingestion), L1 (latency
from an INSERT to another client), N1 N2 N3 (through the native port: rows in, rows out, idle connections). The rows are integer expressions of the row number, so each system makes the same ones.
A case that cannot run says why. One JSON line for each case; a table of ratios at the end.
"""

import argparse
import fnmatch
import http.client
import io
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

MULT = [2654435761, 2246822519, 3266489917, 668265263]
M32 = 1 << 32
SEED = 42
REGIONS = ["ap-east", "ap-south", "eu-north", "eu-west", "sa-east", "us-central", "us-east", "us-west"]
BASE_MS = 1_704_067_200_000


def hashed(column, i, div):
    """A 32-bit hash of row number i: two rounds of multiplication and splitting, in SQL of any dialect."""
    a = f"((({i} + {SEED}) * {MULT[column]}) % {M32})"
    return f"(({div(a, 65536)} * 40503 + ({a} % 65536) * 2654435 + {977 * column + 12345}) % {M32})"


def columns(per_second, dialect):
    """The select list that makes the rows: ts, device_id, key, region, value, bytes."""
    div, time_of, pick, i32 = dialect
    i = "n"
    device = f"({div(hashed(0, i, div), 64)} % 1000)"
    return ", ".join([
        f"{time_of(div(f'{i} * 1000', per_second))} AS ts",
        f"{i32(device)} AS device_id",
        f"{i32(f'({div(hashed(1, i, div), 64)} % 1000000)')} AS key",
        f"{pick(f'{device} % 8')} AS region",
        f"({div(hashed(2, i, div), 16)} % 1000000) / 1000.0 AS value",
        f"({div(hashed(3, i, div), 1024)} % 65536) AS bytes",
    ])


def names(quote):
    return ", ".join(f"{quote}{r}{quote}" for r in REGIONS)


HYDRON = (
    lambda a, b: f"int_div({a}, {b})",
    lambda ms: f"from_unix_timestamp64_milli(to_int64({ms} + {BASE_MS}))",
    lambda k: f"array_element([{names(chr(39))}], {k} + 1)",
    lambda x: f"to_int32({x})",
)
DUCKDB = (
    lambda a, b: f"({a} // {b})",
    lambda ms: f"make_timestamp(({ms} + {BASE_MS}) * 1000)",
    lambda k: f"([{names(chr(39))}])[{k} + 1]",
    lambda x: f"CAST({x} AS INTEGER)",
)
CHDB = (
    lambda a, b: f"intDiv({a}, {b})",
    lambda ms: f"fromUnixTimestamp64Milli(toInt64({ms} + {BASE_MS}), 'UTC')",
    lambda k: f"[{names(chr(39))}][{k} + 1]",
    lambda x: f"toInt32({x})",
)

HISTORY = {
    "H1": "SELECT count(*) FROM {hist}",
    "H1b": "SELECT sum(value), min(bytes), max(bytes) FROM {hist}",
    "H2": "SELECT count(*), avg(value), max(bytes) FROM {hist} WHERE ts >= {t1} AND ts < {t2} AND device_id < 100",
    "H3": "SELECT region, count(*), avg(value), sum(bytes) FROM {hist} GROUP BY region ORDER BY region",
    "H4": "SELECT count(*), sum(c), max(s) FROM (SELECT key, count(*) AS c, sum(bytes) AS s FROM {hist} GROUP BY key) AS q",
    "H5": "SELECT ts, device_id, value, bytes FROM {hist} ORDER BY value DESC, bytes DESC, ts LIMIT 10",
    "H6": "SELECT count(*), sum(c), max(a) FROM (SELECT {minute} AS m, device_id, count(*) AS c, avg(value) AS a FROM {hist} GROUP BY m, device_id) AS q",
}
STREAMING = {
    "S1": "SELECT ts, device_id, value * 1.8 + 32 AS f FROM stream WHERE value > 500",
    "S2": "SELECT count(), sum(value) FROM stream EMIT PERIODIC 1s",
    "S3": "SELECT window_start, device_id, count(), avg(value) FROM tumble(stream, ts, 5s) GROUP BY window_start, device_id EMIT AFTER WATERMARK WITH DELAY 1s",
    "S4": "SELECT key, count(), sum(bytes), max(value) FROM stream GROUP BY key EMIT PERIODIC 1s",
    "S5": "SELECT window_start, device_id, count(), avg(value) FROM hop(stream, ts, 2s, 10s) GROUP BY window_start, device_id EMIT AFTER WATERMARK WITH DELAY 1s",
    "S6": "SELECT ts, device_id, site, value * scale AS v FROM stream JOIN table(devices) AS d ON stream.device_id = d.device_id",
}


class Failed(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Hydron:
    """A server of this tree in a temporary directory."""

    def __init__(self, program, directory):
        self.port, self.tcp_port = free_port(), free_port()
        self.process = subprocess.Popen(
            [program, "server", "--data-dir", os.path.join(directory, "data"), "--http-port", str(self.port),
             "--tcp-port", str(self.tcp_port), "--rest-port", "0", "--set", "logger.level=error"], stdout=subprocess.PIPE, text=True)
        if "ready" not in self.process.stdout.readline():
            sys.exit("the server did not start")
        self.kept = self.connect()

    def connect(self, timeout=600):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, query, body=None, connection=None, **settings):
        connection = connection or self.kept
        parameters = {k: str(v) for k, v in settings.items()}
        if body is not None:
            parameters["query"] = query
        connection.request("POST", "/?" + urllib.parse.urlencode(parameters), query.encode() if body is None else body)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise Failed(text.decode(errors="replace").strip()[:300])
        return text.decode(errors="replace")

    def family(self):
        """The supervisor and all that it has started."""
        parents = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    parents[int(pid)] = int(f.read().rpartition(")")[2].split()[1])
            except OSError:
                pass  # it has just ended
        family, grows = {self.process.pid}, True
        while grows:
            more = {p for p, parent in parents.items() if parent in family} - family
            family, grows = family | more, bool(more)
        return family

    def resident_mib(self):
        total = 0
        for pid in self.family():
            try:
                with open(f"/proc/{pid}/status") as f:
                    total += sum(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
            except OSError:
                pass
        return total / 1024

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


def emit(system, case, rows, seconds, **extra):
    line = {"system": system, "case": case, "rows": rows, "seconds": round(seconds, 6), "rows_per_s": round(rows / seconds), **extra}
    print(json.dumps(line), flush=True)
    return line


def median_of(runs, work):
    times = []
    for _ in range(runs + 1):
        started = time.perf_counter()
        check = work()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:]), check


def percentiles(samples):
    samples = sorted(samples)
    at = lambda q: round(samples[min(len(samples) - 1, int(q * len(samples)))] * 1e6)
    return {"p50_us": at(0.5), "p95_us": at(0.95), "p99_us": at(0.99)}


# ---------------------------------------------------------------- Hydron


def fill(server, stream, rows, per_second):
    server.ask(f"create stream {stream} (ts datetime64(3, 'UTC'), device_id int32, key int32, region string, value float64, "
               f"bytes int64) settings event_time_column = 'ts', logstore_retention_ms = 86400000")
    step = 2_000_000
    for low in range(0, rows, step):
        n = min(step, rows - low)
        made = columns(per_second, HYDRON)
        server.ask(f"insert into {stream} (ts, device_id, key, region, value, bytes) "
                   f"select {made} from (select number + {low} as n from numbers({n}))", query_mode="table")


def hydron_history(server, o, wanted, results):
    cases = [c for c in HISTORY if wanted(c)]
    if not cases:
        return
    fill(server, "hist", o.rows, 1000)
    server.ask("optimize stream hist final")
    quarter = o.rows // 4
    words = {"hist": "table(hist)", "minute": "to_start_of_minute(ts)",
             "t1": f"from_unix_timestamp64_milli(to_int64({BASE_MS + quarter}))",
             "t2": f"from_unix_timestamp64_milli(to_int64({BASE_MS + 3 * quarter}))"}
    for case in cases:
        try:
            seconds, check = median_of(o.runs, lambda: server.ask(HISTORY[case].format(**words)))
            results.append(emit("hydron", case, o.rows, seconds, check=check.strip()[:80]))
        except Failed as e:
            print(json.dumps({"system": "hydron", "case": case, "cannot": str(e)}))


def hydron_streaming(server, o, wanted, results):
    cases = [c for c in STREAMING if wanted(c)]
    if not cases:
        return
    fill(server, "stream", o.events, 10_000)
    server.ask("create stream devices (device_id int32, site string, scale float64)")
    server.ask("insert into devices (device_id, site, scale) select to_int32(number), concat('site-', to_string(number % 37)), "
               "1.0 + (number % 10) / 10 from numbers(1000)", query_mode="table")
    for case in cases:
        try:
            times = [stream_once(server, case, o.events) for _ in range(o.runs)]
            results.append(emit("hydron", case, o.events, statistics.median(times)))
        except Failed as e:
            print(json.dumps({"system": "hydron", "case": case, "cannot": str(e)}))


def stream_once(server, case, rows):
    """Seconds from the start of a streaming query over the log until it has read every row."""
    failed = []
    query_id = f"bench-{case}-{time.monotonic_ns()}"

    def run():
        try:
            server.ask(STREAMING[case] + " SETTINGS seek_to = '0' FORMAT Null", connection=server.connect(),
                       query_mode="streaming", query_id=query_id)
        except Failed as e:
            if "394" not in str(e):
                failed.append(str(e))
        except (OSError, http.client.HTTPException):
            pass  # the killed query's connection

    worker = threading.Thread(target=run, daemon=True)
    started = time.perf_counter()
    worker.start()
    while not failed and time.perf_counter() - started < 300:
        text = server.ask(f"select read_rows from system.processes where query_id = '{query_id}'").strip()
        if text and int(text) >= rows:
            break
        time.sleep(0.002)
    seconds = time.perf_counter() - started
    server.ask(f"kill query where query_id = '{query_id}' sync")
    worker.join(10)
    if failed:
        raise Failed(failed[0])
    return seconds


def hydron_ingestion(server, o, wanted, results):
    if wanted("I1"):
        ingest_columnar(server, o, results)
    for case, rows, count in (("I2", 100, 1000), ("I3", 1, 2000)):
        if wanted(case):
            server.ask(f"create stream {case} (a int64, b float64)")
            samples = []
            for k in range(count):
                values = ",".join(f"({k}, {j}.5)" for j in range(rows))
                started = time.perf_counter()
                server.ask(f"insert into {case} (a, b) values {values}")
                samples.append(time.perf_counter() - started)
            results.append(emit("hydron", case, rows * count, sum(samples), **percentiles(samples)))


def ingest_columnar(server, o, results):
    try:
        import numpy as np
        import pyarrow as pa
    except ImportError:
        print(json.dumps({"system": "hydron", "case": "I1", "cannot": "pyarrow is not installed"}))
        return
    rows, step = min(o.events, 10_000_000), 100_000
    server.ask("create stream i1 (ts datetime64(3, 'UTC'), device_id int32, key int32, region string, value float64, bytes int64) "
               "settings event_time_column = 'ts'")
    bodies = []
    for low in range(0, min(rows, 2_000_000), step):
        i = np.arange(low, low + step)
        batch = pa.record_batch({
            "ts": pa.array(BASE_MS + i // 10, pa.timestamp("ms")), "device_id": pa.array((i * 7 % 1000).astype(np.int32)),
            "key": pa.array((i * 11 % 1000000).astype(np.int32)), "region": pa.array([REGIONS[k % 8] for k in i]),
            "value": pa.array(i % 1000 / 1.0), "bytes": pa.array(i % 65536)})
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        bodies.append(sink.getvalue())
    query = "insert into i1 (ts, device_id, key, region, value, bytes) format ArrowStream"
    try:
        server.ask(query, bodies[0])
        started = time.perf_counter()
        for k in range(rows // step):
            server.ask(query, bodies[k % len(bodies)])
        results.append(emit("hydron", "I1", rows, time.perf_counter() - started))
    except Failed as e:
        print(json.dumps({"system": "hydron", "case": "I1", "cannot": str(e)}))


def hydron_latency(server, o, wanted, results):
    if not wanted("L1"):
        return
    server.ask("create stream l1 (i int64)")
    reader = server.connect()
    reader.request("POST", "/?query_mode=streaming&query_id=l1", b"select i from l1 format TSV")
    arrived, bell = {}, threading.Condition()

    def read():
        try:
            answer = reader.getresponse()
            while line := answer.readline():
                with bell:
                    arrived[line.strip()] = time.perf_counter()
                    bell.notify()
        except (OSError, http.client.HTTPException, ValueError):
            pass  # killed at the end

    threading.Thread(target=read, daemon=True).start()
    while not server.ask("select query_id from system.processes where query_id = 'l1'").strip():
        time.sleep(0.01)
    time.sleep(0.2)
    samples = []
    for k in range(1000):
        started = time.perf_counter()
        server.ask(f"insert into l1 (i) values ({k})")
        with bell:
            if not bell.wait_for(lambda: str(k).encode() in arrived, 5):
                print(json.dumps({"system": "hydron", "case": "L1", "cannot": f"row {k} did not arrive in 5 s"}))
                return
        samples.append(arrived[str(k).encode()] - started)
    server.ask("kill query where query_id = 'l1' sync")
    results.append(emit("hydron", "L1", 1000, sum(samples), **percentiles(samples)))


def hydron_native(server, o, wanted, results):
    """Through the native port, with the load generator that stands beside the server's program."""
    if not any(wanted(c) for c in ("N1", "N2", "N3")):
        return
    load = os.path.join(os.path.dirname(os.path.abspath(o.hydron)), "native-load")
    if not os.path.exists(load):
        print(json.dumps({"system": "hydron", "case": "N", "cannot": f"there is no {load}"}))
        return

    def run(*arguments):
        done = subprocess.run([load, str(server.tcp_port), *map(str, arguments)], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(done.stderr.strip()[:300])
        return json.loads(done.stdout)

    def measure(case, *arguments):
        try:
            runs = sorted((run(*arguments) for _ in range(o.runs)), key=lambda r: r["seconds"])
            median = runs[len(runs) // 2]
            results.append(emit("hydron", case, median["rows"], median["seconds"], bytes=median["bytes"]))
        except Failed as e:
            print(json.dumps({"system": "hydron", "case": case, "cannot": str(e)}))

    # First: what an INSERT has taken would be given back meanwhile.
    if wanted("N3"):
        idle_connections(server, load, results)
    rows = min(o.events, 10_000_000)
    if wanted("N1") or wanted("N2"):
        server.ask("create stream n1 (ts datetime64(3, 'UTC'), device_id int32, region string, value float64)")
    if wanted("N1"):
        for compression in ("lz4", "none"):
            measure("N1" if compression == "lz4" else "N1-none", "insert", "n1", rows, 65_536, compression)
    if wanted("N2"):
        server.ask("create stream n2 (ts datetime64(3, 'UTC'), device_id int32, region string, value float64)")
        run("insert", "n2", rows, 65_536, "lz4")
        server.ask("optimize stream n2 final")
        for compression in ("lz4", "none"):
            measure("N2" if compression == "lz4" else "N2-none", "select",
                    "select ts, device_id, region, value from table(n2)", compression)


def idle_connections(server, load, results, count=5_000):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 200:
        print(json.dumps({"system": "hydron", "case": "N3", "cannot": f"only {hard} descriptors are allowed"}))
        return
    # The standby starts when the worker has time: it is no part of what connections cost.
    patience = time.monotonic() + 30
    while len(server.family()) < 3 and time.monotonic() < patience:
        time.sleep(0.1)
    time.sleep(2)
    before = server.resident_mib()
    started = time.perf_counter()
    clients = subprocess.Popen(
        [load, str(server.tcp_port), "idle", str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard)))
    line = clients.stdout.readline()
    seconds = time.perf_counter() - started
    if "idle" not in line:
        print(json.dumps({"system": "hydron", "case": "N3", "cannot": clients.stderr.read().strip()[:300]}))
        return
    # The server may still be putting the last of them to rest.
    time.sleep(1)
    grown = server.resident_mib() - before
    results.append(emit("hydron", "N3", count, seconds, grown_mib=round(grown, 1), each_kib=round(grown * 1024 / count, 1)))
    clients.stdin.close()
    clients.wait(60)


# ---------------------------------------------------------------- peers


def duckdb_history(o, wanted, results, directory):
    try:
        import duckdb
    except ImportError:
        print(json.dumps({"system": "duckdb", "cannot": "not installed: pip install duckdb"}))
        return
    db = duckdb.connect(os.path.join(directory, "duck.db"))
    db.execute(f"CREATE TABLE hist AS SELECT {columns(1000, DUCKDB)} FROM (SELECT range AS n FROM range({o.rows})) ORDER BY ts")
    db.execute("CHECKPOINT")
    quarter = o.rows // 4
    words = {"hist": "hist", "minute": "date_trunc('minute', ts)", "t1": f"make_timestamp({(BASE_MS + quarter) * 1000})",
             "t2": f"make_timestamp({(BASE_MS + 3 * quarter) * 1000})"}
    for case in HISTORY:
        if wanted(case):
            seconds, check = median_of(o.runs, lambda: db.execute(HISTORY[case].format(**words)).fetchall())
            results.append(emit("duckdb", case, o.rows, seconds, check=str(check)[:80]))


def chdb_history(o, wanted, results, directory):
    try:
        from chdb import session
    except ImportError:
        print(json.dumps({"system": "chdb", "cannot": "not installed: pip install chdb"}))
        return
    db = session.Session(os.path.join(directory, "chdb"))
    db.query("CREATE DATABASE IF NOT EXISTS d")
    db.query("CREATE TABLE d.hist (ts DateTime64(3, 'UTC'), device_id Int32, key Int32, region LowCardinality(String), value Float64, "
             "bytes Int64) ENGINE = MergeTree ORDER BY ts")
    db.query(f"INSERT INTO d.hist SELECT {columns(1000, CHDB)} FROM (SELECT number AS n FROM numbers({o.rows}))")
    quarter = o.rows // 4
    words = {"hist": "d.hist", "minute": "toStartOfMinute(ts)",
             "t1": f"fromUnixTimestamp64Milli(toInt64({BASE_MS + quarter}), 'UTC')",
             "t2": f"fromUnixTimestamp64Milli(toInt64({BASE_MS + 3 * quarter}), 'UTC')"}
    for case in HISTORY:
        if wanted(case):
            seconds, check = median_of(o.runs, lambda: str(db.query(HISTORY[case].format(**words), "CSV")))
            results.append(emit("chdb", case, o.rows, seconds, check=check.strip()[:80]))


def table(results):
    by_case = {}
    for r in results:
        by_case.setdefault(r["case"], {})[r["system"]] = r
    print(f"\n{'case':6}{'hydron':>12}{'duckdb':>18}{'chdb':>18}   M rows/s; in brackets hydron's time over the peer's")
    for case, systems in by_case.items():
        own = systems.get("hydron")
        cells = []
        for name in ("hydron", "duckdb", "chdb"):
            r = systems.get(name)
            text = "-" if r is None else f"{r['rows_per_s'] / 1e6:.2f}"
            if r and own and name != "hydron":
                text += f" ({own['seconds'] / r['seconds']:.1f}x)"
            cells.append(f"{text:>{12 if name == 'hydron' else 18}}")
        tail = f"   p50 {own['p50_us']} us, p99 {own['p99_us']} us" if own and "p50_us" in own else ""
        if own and "grown_mib" in own:
            tail = f"   {own['grown_mib']} MiB, {own['each_kib']} KiB each"
        print(f"{case:6}{''.join(cells)}{tail}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hydron", required=True, help="the program")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cases", nargs="*")
    parser.add_argument("--no-peers", action="store_true")
    o = parser.parse_args()
    wanted = lambda case: not o.cases or any(fnmatch.fnmatch(case, c) for c in o.cases)
    results = []
    with tempfile.TemporaryDirectory(prefix="hydron-bench-") as directory:
        server = Hydron(o.hydron, directory)
        try:
            hydron_native(server, o, wanted, results)
            hydron_latency(server, o, wanted, results)
            hydron_ingestion(server, o, wanted, results)
            hydron_streaming(server, o, wanted, results)
            hydron_history(server, o, wanted, results)
        finally:
            server.stop()
        if not o.no_peers and any(wanted(c) for c in HISTORY):
            duckdb_history(o, wanted, results, directory)
            chdb_history(o, wanted, results, directory)
    table(results)


if __name__ == "__main__":
    main()
