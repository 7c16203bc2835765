#!/usr/bin/env python3
"""Starts a server in a temporary directory and runs the conformance suite's cases against it over HTTP.

    run.py --suite DIR --hydron PROGRAM            the cases of passing.txt; exit status 1 when one fails
    run.py --suite DIR --hydron PROGRAM --all      every case; writes the ids that pass to passing.new
    run.py ... --only stream --native --rest       streaming cases over the native protocol (needs proton-driver), their streams made
                                                   and filled over REST
    run.py ... --sample 3                          every third of the cases that pass
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile

# More failures than this are no accident of timing.
RETRIES_MAX = 12

HERE = os.path.dirname(os.path.abspath(__file__))


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(program, directory, port, tcp_port, rest_port):
    command = [program, "server", "--data-dir", os.path.join(directory, "data"), "--http-port", str(port),
               "--tcp-port", str(tcp_port), "--rest-port", str(rest_port), "--set", "logger.level=warn"]
    log = open(os.path.join(directory, "server.log"), "w")
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    line = server.stdout.readline()
    if "ready" not in line:
        sys.exit(f"the server did not start: {line}{open(log.name).read()}")
    return server


def run(suite, script, cases, ports, ids, jobs, out):
    """-> {id: message or None} of the cases that ran"""
    port, tcp_port, rest_port = ports
    command = [sys.executable, os.path.join(suite, script), "--cases", os.path.join(suite, cases), "--jobs", str(jobs),
               "--json", out]
    if script == "run_stream.py":
        command += ["--tcp-port", str(tcp_port)] if tcp_port else ["--http"]
        command += ["--http-port", str(port), "--rest-port", str(rest_port)]
    else:
        command += ["--http", f"http://127.0.0.1:{port}", "--quiet"]
    for case in ids or []:
        command += ["--only", re.sub(r"([\[*?])", r"[\1]", case)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    with open(out) as f:
        results = json.load(f)
    return {r["id"]: r.get("message") if r["status"] == "fail" else None for r in results if r["status"] in ("pass", "fail")}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", required=True)
    parser.add_argument("--hydron", required=True)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", choices=["sql", "stream"])
    parser.add_argument("--native", action="store_true")
    parser.add_argument("--rest", action="store_true")
    parser.add_argument("--sample", type=int, default=1)
    parser.add_argument("--stream-jobs", type=int, default=24)
    parser.add_argument("--sql-jobs", type=int, default=4)
    args = parser.parse_args()
    with open(os.path.join(HERE, "passing.txt")) as f:
        passing = [line.strip() for line in f if line.strip() and not line.startswith("#")]
    passing = passing[::args.sample]
    with tempfile.TemporaryDirectory(prefix="hydron-conformance-") as directory:
        ports = free_port(), free_port() if args.native else 0, free_port() if args.rest else 0
        server = start(args.hydron, directory, *ports)
        results = {}
        try:
            for name, script, jobs in (("sql", "run_sql.py", args.sql_jobs), ("stream", "run_stream.py", args.stream_jobs)):
                ids = [p for p in passing if p.startswith("sql:") == (name == "sql")]
                if args.only not in (None, name) or not (args.all or ids):
                    continue
                out = os.path.join(directory, f"{name}.json")
                results |= run(args.suite, script, f"{name}.jsonl", ports, None if args.all else ids, jobs, out)
                # Streaming cases wait by the clock: on a loaded machine one may come too late. It gets one more try, alone.
                late = [] if args.all else [i for i, message in results.items() if message is not None and i in ids]
                if 0 < len(late) <= RETRIES_MAX:
                    for i in late:
                        print(f"once more: {i}\n    " + results[i].replace("\n", "\n    "), flush=True)
                    results |= run(args.suite, script, f"{name}.jsonl", ports, late, 2, out)
        finally:
            server.terminate()
            code = server.wait(30)
    if not args.all and (gone := [p for p in passing if p not in results and args.only is None]):
        print(f"not in the suite: {', '.join(gone)}")
        return 1
    passed = sorted(i for i, message in results.items() if message is None)
    failed = sorted(set(results) - set(passed))
    if args.all:
        with open(os.path.join(HERE, "passing.new"), "w") as f:
            f.write("".join(f"{i}\n" for i in passed))
        with open(os.path.join(HERE, "failing.new"), "w") as f:
            f.write("".join(f"== {i}\n{results[i]}\n" for i in failed))
    else:
        for i in failed:
            print(f"FAIL {i}\n    " + (results[i] or "").replace("\n", "\n    "))
    sql = sum(i.startswith("sql:") for i in passed)
    print(f"conformance: {sql} sql and {len(passed) - sql} streaming cases pass, {len(failed)} fail; server exit code {code}")
    return bool(code) or (bool(failed) and not args.all)


if __name__ == "__main__":
    sys.exit(main())
