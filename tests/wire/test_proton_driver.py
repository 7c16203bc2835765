"""proton-driver: Proton's names of types, blocks by the server's revision."""

import datetime
import unittest

import proton_driver

from native import NativeCases


class ProtonDriver(NativeCases, unittest.TestCase):
    driver = proton_driver
    name_of_array, name_of_string = "array(uint8)", "string"

    def expected(self, ty, values):
        # The driver itself sends dates outside 1970 to 2149 as 0.
        epoch, last = datetime.date(1970, 1, 1), datetime.date(2149, 6, 6)
        return [v if epoch <= v <= last else epoch for v in values] if ty == "date32" else values

    def test_json(self):
        name = self.stream("i uint32, j json")
        self.client.execute(f"INSERT INTO {name} (i, j) VALUES", [(1, {"a": 1, "b": {"c": "x"}}), (2, '{"a":300}')])
        rows = self.client.execute(f"SELECT j FROM table({name}) ORDER BY i")
        self.assertEqual(rows, [({"a": 1, "b": {"c": "x"}},), ({"a": 300, "b": {"c": ""}},)])


if __name__ == "__main__":
    unittest.main()
