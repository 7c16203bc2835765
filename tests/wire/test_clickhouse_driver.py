"""clickhouse-driver: ClickHouse's names of types, the addendum, parameters on the server's side."""

import unittest

import clickhouse_driver

from native import NativeCases


class ClickHouseDriver(NativeCases, unittest.TestCase):
    driver = clickhouse_driver
    name_of_array, name_of_string = "Array(UInt8)", "String"

    def test_parameters(self):
        client = self.connect(settings={"server_side_params": True})
        values = {"n": 7, "s": "it's\n\\ here", "a": [1, 2]}
        rows = client.execute("SELECT {n:uint8}, {s:string}, {a:array(uint8)}", values)
        self.assertEqual(rows, [(7, "it's\n\\ here", [1, 2])])

    def test_tables_of_the_query(self):
        ids = {"name": "ids", "structure": [("id", "UInt32"), ("v", "String")], "data": [{"id": 1, "v": "a"}, {"id": 3, "v": "c"}]}
        more = {"name": "more", "structure": [("id", "UInt32")], "data": [{"id": 3}]}
        client = self.connect()
        query = "SELECT ids.id, ids.v FROM ids WHERE id IN (SELECT id FROM more)"
        self.assertEqual(client.execute(query, external_tables=[ids, more]), [(3, "c")])
        with self.assertRaises(clickhouse_driver.errors.ServerException) as raised:
            client.execute("SELECT id FROM ids")
        self.assertEqual(raised.exception.code, 60)

    def test_older_revisions(self):
        for revision in (54429, 54441, 54453, 54454, 54458):
            with self.subTest(revision=revision):
                client = self.connect(client_revision=revision)
                self.assertEqual(client.execute("SELECT number FROM numbers(3)"), [(0,), (1,), (2,)])
                name = self.stream("x low_cardinality(string)")
                client.execute(f"INSERT INTO {name} (x) VALUES", [("a",), ("b",)])
                self.assertEqual(client.execute(f"SELECT count() FROM table({name})"), [(2,)])


if __name__ == "__main__":
    unittest.main()
