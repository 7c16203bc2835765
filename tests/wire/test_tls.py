"""TLS ports with a certificate made here: drivers of both protocols, curl, and a worker that crashes meanwhile."""

import os
import shutil
import subprocess
import tempfile
import unittest

import clickhouse_connect
import clickhouse_driver
import psycopg
from clickhouse_driver.errors import NetworkError, ServerException

from server import Server, free_port

SERVER_CRASHED = 2900


def make_certificate(directory):
    """A certificate that is its own authority, for localhost and 127.0.0.1."""
    key, certificate = (os.path.join(directory, name) for name in ("server.key", "server.crt"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return certificate, key


@unittest.skipUnless(shutil.which("openssl"), "there is no openssl to make a certificate")
class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="hydron-tls-")
        cls.certificate, key = make_certificate(cls.directory)
        cls.https_port, cls.tcp_port, cls.postgres_port = free_port(), free_port(), free_port()
        settings = {"https_port": cls.https_port, "tcp_port_secure": cls.tcp_port,
                    "postgres_port_secure": cls.postgres_port, "crash_quarantine": 0,
                    "tls.certificate_file": cls.certificate, "tls.private_key_file": key}
        flags = [flag for name, value in settings.items() for flag in ("--set", f"{name}={value}")]
        cls.server = Server("--allow-trap", *flags)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()
        shutil.rmtree(cls.directory, ignore_errors=True)

    def native(self, **more):
        return clickhouse_driver.Client("localhost", port=self.tcp_port, secure=True, ca_certs=self.certificate, **more)

    def curl(self, *arguments):
        done = subprocess.run(["curl", "--silent", "--show-error", *arguments], capture_output=True, text=True)
        return done.stdout or done.stderr

    def test_native(self):
        client = self.native(compression=True)
        client.execute("DROP STREAM IF EXISTS t_tls")
        client.execute("CREATE STREAM t_tls (x uint64, s string)")
        client.execute("INSERT INTO t_tls (x, s) VALUES", [(i, f"row {i}") for i in range(100_000)])
        rows = client.execute("SELECT sum(x), count(s) FROM table(t_tls)")
        self.assertEqual(rows, [(4999950000, 100_000)])
        self.assertEqual(sum(x for x, _ in client.execute_iter("SELECT x, s FROM table(t_tls)")), 4999950000)

    def test_http(self):
        client = clickhouse_connect.get_client(host="localhost", port=self.https_port, secure=True,
                                               ca_cert=self.certificate)
        self.assertEqual(client.query("SELECT number FROM numbers(3)").result_rows, [(0,), (1,), (2,)])
        client.command("DROP STREAM IF EXISTS t_https")
        client.command("CREATE STREAM t_https (x uint64)")
        client.insert("t_https", [[i] for i in range(50_000)], column_names=["x"])
        self.assertEqual(client.query("SELECT sum(x) FROM table(t_https)").result_rows, [(1249975000,)])

    @unittest.skipUnless(shutil.which("curl"), "there is no curl")
    def test_curl(self):
        url = f"https://localhost:{self.https_port}/?query=SELECT+1"
        self.assertEqual(self.curl("--cacert", self.certificate, url), "1\n")
        self.assertEqual(self.curl("--cacert", self.certificate, "--tlsv1.2", "--tls-max", "1.2", url), "1\n")
        self.assertIn("certificate", self.curl(url))
        self.assertEqual(self.curl("--insecure", "--tls-max", "1.1", "--write-out", "%{http_code}", url)[:3], "000")

    def test_postgres(self):
        target = f"host=localhost port={self.postgres_port} user=default dbname=default sslrootcert={self.certificate}"
        with psycopg.connect(target + " sslmode=verify-full", autocommit=True) as connection:
            self.assertEqual(connection.execute("SELECT sum(number) FROM numbers(10)").fetchone(), (45,))
            with self.assertRaises(psycopg.errors.CrashShutdown):
                connection.execute("SELECT trap('read nullptr c++')")
            self.assertEqual(connection.execute("SELECT 2").fetchone(), (2,))
        with self.assertRaises(psycopg.OperationalError) as raised:
            psycopg.connect(target + " sslmode=disable")
        self.assertIn("TLS only", str(raised.exception))

    def test_who_is_not_believed(self):
        client = clickhouse_driver.Client("localhost", port=self.tcp_port, secure=True)
        with self.assertRaises(NetworkError) as raised:
            client.execute("SELECT 1")
        self.assertIn("CERTIFICATE_VERIFY_FAILED", str(raised.exception))

    def test_a_crash(self):
        victim, idle = self.native(), self.native()
        idle.execute("SET max_threads = 3")
        before = idle.connection.socket.getsockname()
        with self.assertRaises(ServerException) as raised:
            victim.execute("SELECT trap('read nullptr c++')")
        self.assertEqual(raised.exception.code, SERVER_CRASHED)
        self.assertEqual(victim.execute("SELECT 2"), [(2,)])
        rows = idle.execute("SELECT value FROM system.settings WHERE name = 'max_threads'")
        self.assertEqual((rows, idle.connection.socket.getsockname()), ([("3",)], before))

    def test_a_new_certificate(self):
        before = open(self.certificate).read()
        other = tempfile.mkdtemp(dir=self.directory)
        make_certificate(other)
        for name in ("server.key", "server.crt"):
            os.replace(os.path.join(other, name), os.path.join(self.directory, name))
        url = f"https://localhost:{self.https_port}/?query=SELECT+1"
        self.assertNotEqual(open(self.certificate).read(), before)
        self.assertIn("certificate", self.curl("--cacert", self.certificate, url), "the old one is still shown")
        self.server.process.send_signal(1)
        for _ in range(100):
            answer = self.curl("--retry", "0", "--cacert", self.certificate, url)
            if answer == "1\n":
                break
        self.assertEqual(answer, "1\n")


if __name__ == "__main__":
    unittest.main()
