"""A worker that crashes, seen through a driver of the native protocol: typed errors, connections and sessions that go on."""

import unittest

import clickhouse_driver
from clickhouse_driver.errors import ServerException

from server import Server

SERVER_CRASHED, SERVER_RESTARTED = 2900, 2901


class Crash(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--allow-trap", "--set", "crash_quarantine=0", "--set", "crash_safe_mode=0")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def connect(self):
        return clickhouse_driver.Client("127.0.0.1", port=self.server.tcp_port)

    def crash(self, client, query="SELECT trap('read nullptr c++')"):
        with self.assertRaises(ServerException) as raised:
            client.execute(query)
        self.assertEqual(raised.exception.code, SERVER_CRASHED)
        return str(raised.exception)

    def test_the_failing_client_hears_why_and_goes_on(self):
        client = self.connect()
        said = self.crash(client)
        self.assertIn("SIGSEGV", said)
        self.assertIn("incident: ", said)
        self.assertEqual(client.execute("SELECT 2"), [(2,)])

    def test_an_idle_connection_goes_on_with_its_session(self):
        idle = self.connect()
        idle.execute("SET max_threads = 3")
        before = idle.connection.socket.getsockname()
        self.crash(self.connect())
        rows = idle.execute("SELECT value FROM system.settings WHERE name = 'max_threads'")
        self.assertEqual(rows, [("3",)])
        self.assertEqual(idle.connection.socket.getsockname(), before)

    def test_a_result_that_is_cut_off_ends_with_an_exception(self):
        reader = self.connect()
        rows = reader.execute_iter("SELECT number, repeat('x', 100) FROM numbers(20000000)")
        next(rows)
        self.crash(self.connect())
        with self.assertRaises(ServerException) as raised:
            for _ in rows:
                pass
        self.assertEqual(raised.exception.code, SERVER_RESTARTED)
        self.assertIn("retry=safe", str(raised.exception))

    def test_rows_that_were_acknowledged_are_there(self):
        client = self.connect()
        client.execute("CREATE STREAM kept (x int32)")
        client.execute("INSERT INTO kept (x) VALUES", [(1,), (2,)])
        self.crash(client, "INSERT INTO kept (x) SELECT trap('abort')")
        self.assertEqual(client.execute("SELECT x FROM table(kept) ORDER BY x"), [(1,), (2,)])


if __name__ == "__main__":
    unittest.main()
