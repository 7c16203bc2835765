"""clickhouse-connect: blocks of format Native over HTTP, in both directions."""

import unittest

import clickhouse_connect

import server
from native import COLUMNS, UTC


class ClickHouseConnect(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = server.running()
        cls.client = clickhouse_connect.get_client(host="127.0.0.1", port=cls.server.http_port)

    def stream(self, columns):
        name = f"t_connect_{self._testMethodName}"
        self.client.command(f"DROP STREAM IF EXISTS {name}")
        self.client.command(f"CREATE STREAM {name} ({columns})")
        self.addCleanup(self.client.command, f"DROP STREAM IF EXISTS {name}")
        return name

    def test_a_query(self):
        result = self.client.query("SELECT number AS n, to_string(number) AS s FROM numbers(3)")
        self.assertEqual(result.result_rows, [(0, "0"), (1, "1"), (2, "2")])
        self.assertEqual(result.column_names, ("n", "s"))

    def test_parameters(self):
        result = self.client.query("SELECT {n:uint8} + 1, {s:string}", parameters={"n": 7, "s": "it's"})
        self.assertEqual(result.result_rows, [(8, "it's")])

    def test_every_type_comes_back(self):
        for ty, values in COLUMNS:
            if ty.startswith("fixed_string"):
                continue  # it has bytes here
            with self.subTest(type=ty):
                name = self.stream(f"i uint32, x {ty}")
                rows = [[i, value] for i, value in enumerate(values)]
                self.client.insert(name, rows, column_names=["i", "x"])
                back = self.client.query(f"SELECT x FROM table({name}) ORDER BY i").result_rows
                # Times in UTC come without their zone here.
                expected = [v.replace(tzinfo=None) if getattr(v, "tzinfo", None) is UTC else v for v in values]
                self.assertEqual([x for (x,) in back], expected)

    def test_many_rows(self):
        name = self.stream("x uint64, s string")
        self.client.insert(name, [[i, f"row {i}"] for i in range(100_000)], column_names=["x", "s"])
        with self.client.query_row_block_stream(f"SELECT x, s FROM table({name})") as blocks:
            self.assertEqual(sum(x for block in blocks for x, _ in block), 4999950000)

    def test_tables_of_the_query(self):
        from clickhouse_connect.driver.external import ExternalData
        data = ExternalData(file_name="ext.csv", data=b"1,a\n3,c\n", fmt="CSV", structure=["id UInt32", "v String"])
        result = self.client.query("SELECT sum(id), any(v) FROM ext WHERE id > {n:uint32}", parameters={"n": 1},
                                   external_data=data)
        self.assertEqual(result.result_rows, [(3, "c")])

    def test_a_form_of_parameters(self):
        client = clickhouse_connect.get_client(host="127.0.0.1", port=self.server.http_port,
                                               form_encode_query_params=True)
        result = client.query("SELECT {n:uint8} + 1, {s:string}", parameters={"n": 7, "s": "it's"})
        self.assertEqual(result.result_rows, [(8, "it's")])

    def test_errors(self):
        with self.assertRaises(clickhouse_connect.driver.exceptions.DatabaseError) as raised:
            self.client.query("SELECT x FROM nowhere")
        self.assertIn("60", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
