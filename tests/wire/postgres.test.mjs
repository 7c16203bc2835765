// node-postgres: parameters without types, prepared statements, errors with their SQLSTATE.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const require = createRequire(process.env.WIRE_NODE_MODULES + "/");
const { Client } = require("pg");

test("statements", async () => {
  const client = new Client({ host: "127.0.0.1", port: Number(process.env.WIRE_PG_PORT), user: "default", database: "default" });
  await client.connect();
  const plain = await client.query("SELECT number AS n, to_string(number) AS s FROM numbers(2)");
  assert.deepEqual(plain.rows, [{ n: "0", s: "0" }, { n: "1", s: "1" }]);
  const bound = await client.query("SELECT number AS n, $2 AS s FROM numbers(9) WHERE number = $1 LIMIT $3", [7, "it's \\", 1]);
  assert.deepEqual(bound.rows, [{ n: "7", s: "it's \\" }]);
  for (const id of [1, 2]) {
    const again = await client.query({ name: "p", text: "SELECT to_int32($1) AS x", values: [id] });
    assert.deepEqual(again.rows, [{ x: id }]);
  }
  await assert.rejects(client.query("SELECT nope"), { code: "42703" });
  assert.equal((await client.query("SELECT 1 AS x")).rows[0].x, 1);
  await client.end();
});
