"""@clickhouse/client, when there is a node to run it."""

import os
import shutil
import subprocess
import unittest

import server

HERE = os.path.dirname(os.path.abspath(__file__))


@unittest.skipUnless(shutil.which("node"), "needs node")
class NodeClient(unittest.TestCase):
    def test_client(self):
        environment = dict(os.environ, WIRE_URL=f"http://127.0.0.1:{server.running().http_port}")
        command = ["node", "--test", os.path.join(HERE, "client.test.mjs")]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)


if __name__ == "__main__":
    unittest.main()
