"""Drivers of PostgreSQL: psycopg 3 and 2, asyncpg, pg8000 and node-postgres against the PostgreSQL port; psql where it is installed."""

import asyncio
import datetime
import decimal
import ipaddress
import os
import shutil
import subprocess
import threading
import time
import unittest
import uuid

import asyncpg
import pg8000.native
import psycopg
import psycopg2

from server import Server, free_port

HERE = os.path.dirname(os.path.abspath(__file__))
UTC = datetime.timezone.utc


class Postgres(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.port = free_port()
        cls.server = Server("--allow-trap", "--postgres-port", str(cls.port), "--set", "crash_quarantine=0",
                            "--set", "crash_safe_mode=0")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def connect(self, options="", **more):
        target = f"host=127.0.0.1 port={self.port} user=default dbname=default"
        if options:
            target += f" options='{options}'"
        connection = psycopg.connect(target, **{"autocommit": True, **more})
        self.addCleanup(connection.close)
        return connection

    def test_every_type_in_text_and_binary(self):
        query = """SELECT to_int8(-1), to_uint8(255), to_uint16(65535), to_uint32(4294967295), to_uint64(18446744073709551615),
            to_int128(-5), to_float32(0.5), to_float64(-1.25), true, 'é', to_date('2024-02-29'),
            to_datetime('2024-01-02 03:04:05', 'UTC'), to_datetime64('2024-01-02 03:04:05.678', 3, 'UTC'),
            to_datetime('2024-01-02 03:04:05'), to_decimal64(-12.5, 3), to_uuid('00000000-0000-0000-0000-000000000001'),
            to_ipv4('1.2.3.4'), to_ipv6('::1'), [1, 2], ['a,b', ''], [to_datetime('2024-01-02 03:04:05', 'UTC')],
            NULL, map('k', 1), CAST('a', 'enum8(\\'a\\' = 1)'), [NULL, 2]"""
        expected = (-1, 255, 65535, 4294967295, 18446744073709551615, -5, 0.5, -1.25, True, "é", datetime.date(2024, 2, 29),
                    datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
                    datetime.datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=UTC), datetime.datetime(2024, 1, 2, 3, 4, 5),
                    decimal.Decimal("-12.5"), uuid.UUID(int=1), ipaddress.ip_address("1.2.3.4"),
                    ipaddress.ip_address("::1"), [1, 2], ["a,b", ""], [datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)],
                    None, {"k": 1}, "a", [None, 2])
        connection = self.connect()
        for binary in (False, True):
            self.assertEqual(connection.cursor(binary=binary).execute(query).fetchone(), expected)

    def test_parameters(self):
        moment = datetime.datetime(2024, 1, 1, 2, 3, 4, 5, tzinfo=UTC)
        values = (5, "it's \\ $1 \n", moment, decimal.Decimal("1.50"), None, [1, 2], -7, 0.1, True, datetime.date(2000, 1, 2),
                  uuid.UUID(int=7))
        marks = ", ".join(["%s"] * len(values))
        for binary in (False, True):
            row = self.connect().cursor(binary=binary).execute(f"SELECT {marks}", values).fetchone()
            self.assertEqual(row, values)
        self.assertEqual(self.connect().execute("SELECT number FROM numbers(9) LIMIT %s OFFSET %s", (2, 3)).fetchall(),
                         [(3,), (4,)])

    def test_rows_in_and_out(self):
        connection = self.connect()
        connection.execute("CREATE STREAM t_pg (a int32, b string, ts datetime64(3, 'UTC'))")
        done = connection.execute("INSERT INTO t_pg (a, b, ts) VALUES (%s, %s, %s)", (1, "o'ne", datetime.datetime(2024, 1, 1, tzinfo=UTC)))
        self.assertEqual((done.rowcount, done.statusmessage), (1, "INSERT 0 1"))
        connection.cursor().executemany("INSERT INTO t_pg (a, b) VALUES (%s, %s)", [(2, "two"), (3, "three")])
        with connection.cursor().copy("COPY t_pg (a, b) FROM STDIN") as copy:
            for i in range(4, 10_001):
                copy.write_row((i, f"row\t{i}\\"))
        with connection.cursor().copy("COPY t_pg (a, b) FROM STDIN WITH (FORMAT csv, HEADER)") as copy:
            copy.write(b'a,b\n10001,"x ""y"""\n')
        rows = "SELECT count(), sum(a), max(b) FROM table(t_pg)"
        deadline = time.monotonic() + 20
        while connection.execute(rows).fetchone()[0] < 10_001 and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual(connection.execute(rows).fetchone(), (10_001, sum(range(10_002)), 'x "y"'))
        with connection.cursor().copy("COPY (SELECT a, b FROM table(t_pg) WHERE a < 3 ORDER BY a) TO STDOUT CSV") as copy:
            self.assertEqual(b"".join(copy), b"1,\"o'ne\"\n2,\"two\"\n")

    def test_a_copy_that_is_broken_off_stores_nothing(self):
        connection = self.connect()
        connection.execute("CREATE STREAM t_pg_broken (a int32)")
        with self.assertRaises(ZeroDivisionError):
            with connection.cursor().copy("COPY t_pg_broken (a) FROM STDIN") as copy:
                copy.write(b"1\n2\n")
                raise ZeroDivisionError
        with self.assertRaises(psycopg.errors.InvalidTextRepresentation):
            with connection.cursor().copy("COPY t_pg_broken (a) FROM STDIN") as copy:
                copy.write(b"1\nx\n")
        self.assertEqual(connection.execute("SELECT count() FROM table(t_pg_broken)").fetchone(), (0,))

    def test_errors(self):
        connection = self.connect(autocommit=False)
        with self.assertRaises(psycopg.errors.UndefinedColumn) as raised:
            connection.execute("SELECT 1, nope")
        self.assertEqual((raised.exception.sqlstate, raised.exception.diag.statement_position), ("42703", "11"))
        self.assertIn("Code: 47. DB::Exception", str(raised.exception))
        with self.assertRaises(psycopg.errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()
        self.assertEqual(connection.execute("SELECT 1").fetchone(), (1,))
        with self.assertRaises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM no_such_stream")
        connection.rollback()
        with self.assertRaises(psycopg.errors.SyntaxError):
            connection.execute("SELEC 1")
        connection.rollback()
        with self.assertRaises(psycopg.OperationalError) as raised:
            psycopg.connect(f"host=127.0.0.1 port={self.port} user=default password=wrong dbname=no_such")
        self.assertIn("no_such", str(raised.exception))

    def test_passwords(self):
        target = f"host=127.0.0.1 port={self.port} user=proton dbname=default"
        with self.assertRaises(psycopg.OperationalError) as raised:
            psycopg.connect(target + " password=wrong")
        self.assertIn("password is incorrect", str(raised.exception))
        with psycopg.connect(target + " password=proton@t+") as connection:
            self.assertEqual(connection.execute("SELECT current_user()").fetchone(), ("proton",))

    def test_texts_that_a_driver_quotes_itself(self):
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="default", dbname="default")
        self.addCleanup(connection.close)
        cursor = connection.cursor()
        moment = datetime.datetime(2024, 1, 1, 2, 3, 4, 500000, tzinfo=UTC)
        values = ("a\\' OR 1 = 1 --", "it's", 5, [1, 2], None, True, moment, datetime.date(2024, 1, 1))
        cursor.execute("SELECT %s, %s, %s, %s, %s, %s, %s, %s", values)
        self.assertEqual(cursor.fetchone(), values)
        connection.commit()

    def test_a_cursor_gives_what_is_asked_for(self):
        connection = self.connect(autocommit=False)
        with connection.cursor("c") as cursor:
            cursor.execute("SELECT number FROM numbers(100000)")
            self.assertEqual(cursor.fetchmany(3), [(0,), (1,), (2,)])
            self.assertEqual(len(cursor.fetchall()), 99_997)
        connection.commit()

    def test_a_stream_and_its_cancel(self):
        connection = self.connect()
        connection.execute("CREATE STREAM t_pg_live (a int32)")
        live = self.connect("-c query_mode=streaming")
        arrived = []

        def feed():
            deadline = time.monotonic() + 20
            while not arrived and time.monotonic() < deadline:
                connection.execute("INSERT INTO t_pg_live (a) VALUES (1)")
                time.sleep(0.1)
            live.cancel()

        feeder = threading.Thread(target=feed)
        feeder.start()
        with self.assertRaises(psycopg.errors.QueryCanceled):
            for row in live.cursor().stream("SELECT a FROM t_pg_live"):
                arrived.append(row)
        feeder.join()
        self.assertEqual(arrived[0], (1,))
        self.assertEqual(live.execute("SELECT 1").fetchone(), (1,))

    def test_a_crash(self):
        idle, victim = self.connect(), self.connect()
        idle.execute("SET max_threads = 3")
        idle.execute("SELECT %s::int", (1,), prepare=True)
        began = time.monotonic()
        with self.assertRaises(psycopg.errors.CrashShutdown) as raised:
            victim.execute("SELECT trap('read nullptr c++')")
        self.assertLess(time.monotonic() - began, 2)
        self.assertIn("SERVER_CRASHED", str(raised.exception))
        self.assertEqual(victim.execute("SELECT 2").fetchone(), (2,))
        value = idle.execute("SELECT value FROM system.settings WHERE name = 'max_threads'").fetchone()
        self.assertEqual(value, ("3",))
        self.assertEqual(idle.execute("SELECT %s::int", (4,), prepare=True).fetchone(), (4,))

    def test_asyncpg(self):
        async def talk():
            connection = await asyncpg.connect(host="127.0.0.1", port=self.port, user="default", database="default")
            rows = await connection.fetch("SELECT number AS n FROM numbers(10) WHERE to_string(number) = $1", "7")
            self.assertEqual([dict(r) for r in rows], [{"n": 7}])
            self.assertEqual(await connection.fetchval("SELECT $1::int8 + 1", 41), 42)
            async with connection.transaction():
                numbers = [r[0] async for r in connection.cursor("SELECT number FROM numbers(1000)")]
            self.assertEqual(numbers, list(range(1000)))
            with self.assertRaises(asyncpg.UndefinedColumnError):
                await connection.fetch("SELECT nope")
            await connection.close()

        asyncio.run(talk())

    def test_pg8000(self):
        connection = pg8000.native.Connection("default", host="127.0.0.1", port=self.port, database="default")
        self.assertEqual(connection.run("SELECT :a AS x, number FROM numbers(9) WHERE number = :b", a="q", b=6), [["q", 6]])
        connection.close()

    @unittest.skipUnless(shutil.which("node"), "needs node")
    def test_node(self):
        environment = dict(os.environ, WIRE_PG_PORT=str(self.port))
        command = ["node", "--test", os.path.join(HERE, "postgres.test.mjs")]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)

    @unittest.skipUnless(shutil.which("psql"), "needs psql")
    def test_psql(self):
        command = ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "default", "-d", "default", "-A", "-t",
                   "-c", "SELECT number, to_string(number) FROM numbers(2)", "-c", "SHOW DATABASES", "-c", "SELECT nope"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(ran.stdout.splitlines()[:3], ["0|0", "1|1", "default"])
        self.assertIn('column "nope" is unknown', ran.stderr)


if __name__ == "__main__":
    unittest.main()
