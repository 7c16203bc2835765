"""What a driver of the native protocol must be able to do, whichever of the two it is."""

import datetime
import decimal
import ipaddress
import threading
import time
import uuid
import zoneinfo

import server

UTC = datetime.timezone.utc
SHANGHAI = zoneinfo.ZoneInfo("Asia/Shanghai")

# Type as SQL has it, and values that must come back as they went in.
COLUMNS = [
    ("bool", [True, False, True]),
    ("int8", [-128, 0, 127]),
    ("int16", [-32768, 0, 32767]),
    ("int32", [-(1 << 31), 0, (1 << 31) - 1]),
    ("int64", [-(1 << 63), 0, (1 << 63) - 1]),
    ("int128", [-(1 << 127), 0, (1 << 127) - 1]),
    ("int256", [-(1 << 255), 0, (1 << 255) - 1]),
    ("uint8", [0, 1, 255]),
    ("uint16", [0, 1, 65535]),
    ("uint32", [0, 1, (1 << 32) - 1]),
    ("uint64", [0, 1, (1 << 64) - 1]),
    ("uint128", [0, 258, (1 << 128) - 1]),
    ("uint256", [0, 258, (1 << 256) - 1]),
    ("float32", [-1.5, 0.0, 0.25]),
    ("float64", [-1.5, 0.0, 1e300]),
    ("decimal(9, 2)", [decimal.Decimal("-1.25"), decimal.Decimal("0.00"), decimal.Decimal("9999999.99")]),
    ("decimal(18, 3)", [decimal.Decimal("-1.250"), decimal.Decimal("0.000"), decimal.Decimal("1.125")]),
    ("decimal(38, 10)", [decimal.Decimal("-1.2500000000"), decimal.Decimal("0"), decimal.Decimal("1.0000000001")]),
    ("decimal(76, 20)", [decimal.Decimal("-1.25"), decimal.Decimal("0"), decimal.Decimal("1e20")]),
    ("string", ["a", "", "ü\n\0"]),
    ("fixed_string(3)", ["abc", "xyz", "ab"]),
    ("date", [datetime.date(1970, 1, 1), datetime.date(2024, 2, 29), datetime.date(2149, 6, 6)]),
    ("date32", [datetime.date(1900, 1, 1), datetime.date(1970, 1, 1), datetime.date(2299, 12, 31)]),
    ("datetime('UTC')", [datetime.datetime(1970, 1, 1, tzinfo=UTC), datetime.datetime(2024, 2, 29, 12, 34, 56, tzinfo=UTC)]),
    ("datetime('Asia/Shanghai')", [datetime.datetime(2024, 2, 29, 12, 34, 56, tzinfo=SHANGHAI)]),
    ("datetime64(3, 'UTC')", [datetime.datetime(2024, 2, 29, 12, 34, 56, 789000, tzinfo=UTC)]),
    ("datetime64(4, 'UTC')", [datetime.datetime(2024, 2, 29, 12, 34, 56, 789100, tzinfo=UTC)]),
    ("datetime64(6, 'Asia/Shanghai')", [datetime.datetime(2024, 2, 29, 12, 34, 56, 789123, tzinfo=SHANGHAI)]),
    ("ipv4", [ipaddress.IPv4Address("1.2.3.4"), ipaddress.IPv4Address("0.0.0.0")]),
    ("ipv6", [ipaddress.IPv6Address("::1"), ipaddress.IPv6Address("2001:db8::")]),
    ("uuid", [uuid.UUID("61f0c404-5cb3-11e7-907b-a6006ad3dba0"), uuid.UUID(int=1)]),
    ("enum8('a' = -1, 'b' = 2)", ["a", "b"]),
    ("enum16('a' = 1000, 'b' = 2000)", ["b", "a"]),
    ("nullable(int32)", [None, 1, None]),
    ("nullable(string)", ["x", None, ""]),
    ("nullable(datetime64(3, 'UTC'))", [None, datetime.datetime(2024, 2, 29, 12, 34, 56, 789000, tzinfo=UTC)]),
    ("low_cardinality(string)", ["x", "y", "x"]),
    ("low_cardinality(nullable(string))", ["x", None, "y"]),
    ("array(uint8)", [[1, 2], [], [3]]),
    ("array(array(nullable(string)))", [[["a", None], []], [], [["b"]]]),
    ("array(low_cardinality(string))", [["a", "b", "a"], [], ["b"]]),
    ("tuple(int8, string)", [(1, "a"), (2, "")]),
    ("map(string, array(uint64))", [{"a": [1]}, {}, {"b": [], "c": [2, 3]}]),
    ("map(string, nullable(float64))", [{"a": None}, {"a": 1.5}]),
]

PATIENCE = 30


class NativeCases:
    """Mixed into a TestCase that has `driver`, the module of a driver."""

    driver = None

    def setUp(self):
        self.server = server.running()
        self.clients = []
        self.client = self.connect()
        self.names = []

    def tearDown(self):
        for name in self.names:
            self.client.execute(f"DROP STREAM IF EXISTS {name}")
        for client in self.clients:
            client.disconnect()

    def connect(self, **options):
        options = {"send_receive_timeout": PATIENCE, **options}
        client = self.driver.Client(host="127.0.0.1", port=self.server.tcp_port, **options)
        self.clients.append(client)
        return client

    def stream(self, columns):
        name = f"t_{type(self).__name__}_{self._testMethodName}_{len(self.names)}"
        self.names.append(name)
        self.client.execute(f"DROP STREAM IF EXISTS {name}")
        self.client.execute(f"CREATE STREAM {name} ({columns})")
        return name

    def test_every_type_goes_in_and_comes_back(self):
        for ty, values in COLUMNS:
            for compression in (False, "lz4"):
                with self.subTest(type=ty, compression=compression):
                    client = self.connect(compression=compression)
                    name = self.stream(f"i uint32, x {ty}")
                    rows = [(i, value) for i, value in enumerate(values)]
                    self.assertEqual(client.execute(f"INSERT INTO {name} (i, x) VALUES", rows), len(rows))
                    back = client.execute(f"SELECT x FROM table({name}) ORDER BY i")
                    self.assertEqual([x for (x,) in back], self.expected(ty, values))

    def expected(self, ty, values):
        return values

    def test_types_are_named_in_the_header(self):
        rows, columns = self.client.execute("SELECT [1] AS a, 'x' AS b WHERE 0", with_column_types=True)
        self.assertEqual((rows, columns), ([], [("a", self.name_of_array), ("b", self.name_of_string)]))

    def test_nulls_and_empty_arrays_alone(self):
        self.assertEqual(self.client.execute("SELECT NULL, [], 1"), [(None, [], 1)])

    def test_zstd(self):
        client = self.connect(compression="zstd")
        name = self.stream("x uint64")
        client.execute(f"INSERT INTO {name} (x) VALUES", [(i,) for i in range(100_000)])
        settings = {"network_compression_method": "ZSTD"}
        self.assertEqual(client.execute(f"SELECT sum(x) FROM table({name})", settings=settings), [(4999950000,)])

    def test_a_million_rows(self):
        client = self.connect(compression="lz4")
        name = self.stream("x uint64, s string")
        columns = [list(range(1_000_000)), [f"row {i}" for i in range(1_000_000)]]
        client.execute(f"INSERT INTO {name} (x, s) VALUES", columns, columnar=True)
        query = f"SELECT count(), sum(x), unique_exact(s) FROM table({name})"
        self.assertEqual(client.execute(query), [(1_000_000, 499999500000, 1_000_000)])
        seen = 0
        for x, s in client.execute_iter(f"SELECT x, s FROM table({name})"):
            seen += x
        self.assertEqual(seen, 499999500000)

    def test_rows_in_the_text(self):
        name = self.stream("x uint64, s string DEFAULT 'd'")
        self.client.execute(f"INSERT INTO {name} (x, s) VALUES (1, 'a'), (2, 'b')")
        self.client.execute(f"INSERT INTO {name} (x) VALUES (3)")
        self.assertEqual(self.client.execute(f"SELECT x, s FROM table({name}) ORDER BY x"), [(1, "a"), (2, "b"), (3, "d")])

    def test_rows_for_all_columns(self):
        name = self.stream("x uint64, s string")
        self.client.execute(f"INSERT INTO {name} VALUES", [(1, "a")])
        self.assertEqual(self.client.execute(f"SELECT x, s FROM table({name})"), [(1, "a")])

    def test_errors_have_codes_and_the_next_query_runs(self):
        for query, code in [("SELECT (1", 62), ("SELECT x FROM nowhere", 60), ("SELECT nothing_like_this(1)", 46),
                            ("SELECT to_uint8('x')", None)]:
            with self.assertRaises(self.driver.errors.ServerException) as raised:
                self.client.execute(query)
            if code:
                self.assertEqual(raised.exception.code, code, query)
            self.assertEqual(self.client.execute("SELECT 1"), [(1,)])

    def test_a_wrong_password(self):
        for options in [{"password": "wrong"}, {"user": "nobody"}]:
            with self.assertRaises(self.driver.errors.ServerException) as raised:
                self.connect(**options).execute("SELECT 1")
            self.assertEqual(raised.exception.code, 516)

    def test_an_unknown_database(self):
        with self.assertRaises(self.driver.errors.ServerException) as raised:
            self.connect(database="nowhere").execute("SELECT 1")
        self.assertEqual(raised.exception.code, 81)

    def test_settings(self):
        self.assertEqual(self.client.execute("SELECT get_setting('max_threads')", settings={"max_threads": 3}), [("3",)])
        strict = self.connect(settings_is_important=True)
        with self.assertRaises(self.driver.errors.ServerException) as raised:
            strict.execute("SELECT 1", settings={"no_such_setting": 1})
        self.assertEqual(raised.exception.code, 115)
        self.assertEqual(self.client.execute("SELECT 1", settings={"no_such_setting": 1}), [(1,)])

    def test_progress(self):
        progress = self.client.execute_with_progress("SELECT sum(number) FROM numbers(1000000)")
        for _ in progress:
            pass
        self.assertEqual(progress.get_result(), [(499999500000,)])
        self.assertEqual(self.client.last_query.progress.rows, 1_000_000)

    def test_with_totals(self):
        name = self.stream("x uint64")
        self.client.execute(f"INSERT INTO {name} (x) VALUES", [(1,), (2,)])
        rows = self.client.execute(f"SELECT x, count() FROM table({name}) GROUP BY x WITH TOTALS ORDER BY x")
        self.assertEqual(rows, [(1, 1), (2, 1), (0, 2)])

    def tail(self, client, query, query_id):
        """Runs a streaming query on a thread. -> (header came, rows so far, what ended it, thread)"""
        header, rows, ended = threading.Event(), [], []

        def run():
            try:
                for row in client.execute_iter(query, with_column_types=True, query_id=query_id):
                    rows.append(row)
                    header.set()
            except Exception as e:
                ended.append(e)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.assertTrue(header.wait(PATIENCE), "the header comes when the query runs")
        return rows, ended, thread

    def wait(self, done):
        deadline = time.monotonic() + PATIENCE
        while not done():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def test_a_stream_and_a_kill(self):
        name = self.stream("x uint64")
        query_id = f"victim of {type(self).__name__}"
        rows, ended, thread = self.tail(self.connect(), f"SELECT x FROM {name}", query_id)
        for x in range(3):
            self.client.execute(f"INSERT INTO {name} (x) VALUES", [(x,)])
            self.wait(lambda: len(rows) == x + 2)
        self.assertEqual(rows[1:], [(0,), (1,), (2,)])
        self.client.execute(f"KILL QUERY WHERE query_id = '{query_id}'")
        thread.join(PATIENCE)
        self.assertEqual(ended[0].code, 394)

    def test_a_stream_and_a_cancel(self):
        name = self.stream("x uint64")
        tail = self.connect()
        rows = tail.execute_iter(f"SELECT x FROM {name}", with_column_types=True, query_id=f"tail {name}")
        next(rows)
        self.client.execute(f"INSERT INTO {name} (x) VALUES", [(7,)])
        self.assertEqual(next(rows), (7,))
        started = time.monotonic()
        tail.cancel()
        self.assertLess(time.monotonic() - started, 5)
        self.wait(lambda: not self.client.execute(f"SELECT 1 FROM system.processes WHERE query_id = 'tail {name}'"))
        self.assertEqual(tail.execute("SELECT 1"), [(1,)])

    def test_a_client_that_leaves_ends_its_query(self):
        name = self.stream("x uint64")
        tail = self.connect()
        next(tail.execute_iter(f"SELECT x FROM {name}", with_column_types=True, query_id=f"leaving {name}"))
        tail.disconnect()
        self.wait(lambda: not self.client.execute(f"SELECT 1 FROM system.processes WHERE query_id = 'leaving {name}'"))
