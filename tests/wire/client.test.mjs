// @clickhouse/client: JSON formats over HTTP, streams of rows in both directions.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { Readable } from "node:stream";
import { test } from "node:test";

const require = createRequire(process.env.WIRE_NODE_MODULES + "/");
const { createClient } = require("@clickhouse/client");
const client = createClient({ url: process.env.WIRE_URL });

test("ping", async () => {
  assert.equal((await client.ping()).success, true);
});

test("a query", async () => {
  const rows = await client.query({ query: "SELECT number AS n FROM numbers(3)", format: "JSONEachRow" });
  assert.deepEqual(await rows.json(), [{ n: "0" }, { n: "1" }, { n: "2" }]);
  const document = await client.query({ query: "SELECT 1 AS x", format: "JSON" });
  assert.deepEqual((await document.json()).data, [{ x: 1 }]);
});

test("parameters", async () => {
  const query = "SELECT {n:uint8} AS n, {s:string} AS s";
  const rows = await client.query({ query, format: "JSONEachRow", query_params: { n: 7, s: "it's" } });
  assert.deepEqual(await rows.json(), [{ n: 7, s: "it's" }]);
});

test("rows in and out", async () => {
  await client.command({ query: "CREATE STREAM IF NOT EXISTS t_node (x uint64, s string)" });
  await client.insert({ table: "t_node", values: [{ x: 1, s: "a" }], format: "JSONEachRow" });
  const many = Readable.from((function* () { for (let x = 2; x <= 1000; x++) yield { x, s: "b" }; })(), { objectMode: true });
  await client.insert({ table: "t_node", values: many, format: "JSONEachRow" });
  const result = await client.query({ query: "SELECT x FROM table(t_node)", format: "JSONEachRow" });
  let sum = 0;
  for await (const rows of result.stream()) for (const row of rows) sum += Number(row.json().x);
  assert.equal(sum, 500500);
  await client.command({ query: "DROP STREAM t_node" });
});

test("a stream and its end", async () => {
  await client.command({ query: "CREATE STREAM IF NOT EXISTS t_tail (x uint64)" });
  const abort = new AbortController();
  const settings = { query_mode: "streaming" };
  const result = await client.query({
    query: "SELECT x FROM t_tail", format: "JSONEachRow", clickhouse_settings: settings, abort_signal: abort.signal,
  });
  await client.insert({ table: "t_tail", values: [{ x: 7 }], format: "JSONEachRow" });
  const seen = [];
  try {
    for await (const rows of result.stream()) {
      seen.push(...rows.map((row) => row.json().x));
      abort.abort();
    }
  } catch {
    // An aborted stream ends with an error.
  }
  assert.deepEqual(seen, ["7"]);
  await client.command({ query: "DROP STREAM t_tail" });
});

test("errors", async () => {
  await assert.rejects(client.query({ query: "SELECT x FROM nowhere" }), (e) => e.code === "60");
});

test.after(() => client.close());
