// What the key browser knows of each type: how to read it page by page, and how to change it. A page is
// {rows: [{name, value}], next}; next is where the next one begins, null if this was the last. Rows without a
// value have nothing but their name.

import { bytesOf, runeAt, textOf } from "./bytes.js";

const rows = 100; // on a page
const stringPage = 16 << 10; // bytes on a page

// by reads a page of what has positions: a list, a sorted set.
async function byPosition(db, size, from, command, row) {
  from = Number(from ?? 0);
  const got = await db.cmd(...command(from, from + rows - 1));
  return { rows: got.map((v, i) => row(v, from + i)), next: from + rows < size ? from + rows : null };
}

// byCursor reads a page of what has no order. The server decides how much that is.
async function byCursor(db, command, key, cursor, width) {
  const [next, flat] = await db.cmd(command, key, cursor ?? "0", "COUNT", rows);
  const out = [];
  for (let i = 0; i < flat.length; i += width) out.push(width === 2 ? { name: flat[i], value: flat[i + 1] } : { name: flat[i] });
  return { rows: out, next: next === "0" ? null : next };
}

// A page of a string does not end within a character.
async function stringAt(db, key, size, from) {
  from = Number(from ?? 0);
  const bytes = bytesOf(await db.cmd("GETRANGE", key, from, from + stringPage - 1));
  let end = bytes.length;
  if (from + end < size) {
    for (let back = 1; back <= 3; back++) {
      const c = bytes[end - back];
      if (c >= 0xc0) {
        if (runeAt(bytes, end - back) === 0) end -= back;
        break;
      }
      if (c < 0x80) break;
    }
  }
  return { text: textOf(bytes.subarray(0, end)), from, next: from + end < size ? from + end : null };
}

// A removed element of a list is marked first, because there is no command that removes by position.
const mark = () => "removed:" + crypto.randomUUID();

export const kinds = {
  string: {
    size: "STRLEN", unit: "byte",
    page: (db, key, size, from) => stringAt(db, key, size, from),
    read: (key) => ["GET", key],
    set: (key, _, v) => [["SET", key, v, "KEEPTTL"]],
  },
  list: {
    size: "LLEN", unit: "element", columns: ["position", "element"],
    page: (db, key, size, from) =>
      byPosition(db, size, from, (a, z) => ["LRANGE", key, a, z], (value, i) => ({ name: String(i), value })),
    read: (key, row) => ["LINDEX", key, row.name],
    set: (key, row, v) => [["LSET", key, row.name, v]],
    remove: (key, row, m = mark()) => [["LSET", key, row.name, m], ["LREM", key, "1", m]],
    add: { fields: ["new last element"], command: (key, [v]) => ["RPUSH", key, v] },
  },
  hash: {
    size: "HLEN", unit: "field", columns: ["field", "value"],
    page: (db, key, _, cursor) => byCursor(db, "HSCAN", key, cursor, 2),
    read: (key, row) => ["HGET", key, row.name],
    set: (key, row, v) => [["HSET", key, row.name, v]],
    remove: (key, row) => [["HDEL", key, row.name]],
    add: { fields: ["field", "value"], command: (key, [f, v]) => ["HSET", key, f, v] },
  },
  set: {
    size: "SCARD", unit: "member", columns: ["member"],
    page: (db, key, _, cursor) => byCursor(db, "SSCAN", key, cursor, 1),
    remove: (key, row) => [["SREM", key, row.name]],
    add: { fields: ["member"], command: (key, [m]) => ["SADD", key, m] },
  },
  zset: {
    size: "ZCARD", unit: "member", columns: ["member", "score"],
    page: (db, key, size, from) =>
      byPosition(db, size, from, (a, z) => ["ZRANGE", key, a, z, "WITHSCORES"], ([name, score]) => ({ name, value: String(score) })),
    read: (key, row) => ["ZSCORE", key, row.name],
    set: (key, row, v) => [["ZADD", key, "XX", v, row.name]],
    remove: (key, row) => [["ZREM", key, row.name]],
    add: { fields: ["member", "score"], command: (key, [m, score]) => ["ZADD", key, score, m] },
  },
  stream: {
    size: "XLEN", unit: "entry", columns: ["ID", "fields"],
    async page(db, key, _, from) {
      const got = await db.cmd("XRANGE", key, from ? "(" + from : "-", "+", "COUNT", rows + 1);
      const more = got.length > rows;
      const here = got.slice(0, rows).map(([name, fields]) => ({ name, fields }));
      return { rows: here, next: more ? here.at(-1).name : null };
    },
    remove: (key, row) => [["XDEL", key, row.name]],
    add: { fields: ["field", "value"], command: (key, [f, v]) => ["XADD", key, "*", f, v] },
  },
};
