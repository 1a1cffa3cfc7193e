// RESP in the browser, as much as the console needs. A value is {type, value}; type is its first byte on the
// wire.

import { plain } from "./bytes.js";

const utf8 = new TextEncoder();

// splitArgs splits a line by the quoting rules of redis-cli into byte arrays;
// null means that a quote is not closed.
export function splitArgs(line) {
  const args = [];
  let i = 0;
  for (;;) {
    while (i < line.length && /\s/.test(line[i])) i++;
    if (i >= line.length) return args;
    let bytes = [];
    const put = (text) => bytes.push(...utf8.encode(text));
    let quote = "";
    for (; i < line.length; i++) {
      const c = line[i];
      if (quote === "") {
        if (/\s/.test(c)) break;
        if (c === '"' || c === "'") quote = c;
        else put(String.fromCodePoint(line.codePointAt(i)));
      } else if (c === quote) {
        if (i + 1 < line.length && !/\s/.test(line[i + 1])) return null;
        quote = "";
      } else if (c === "\\" && quote === '"' && /^x[0-9a-f]{2}/i.test(line.slice(i + 1))) {
        bytes.push(parseInt(line.slice(i + 2, i + 4), 16));
        i += 3;
      } else if (c === "\\" && i + 1 < line.length && (quote === '"' || line[i + 1] === "'")) {
        i++;
        put({ n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" }[quote === '"' ? line[i] : ""] ?? line[i]);
      } else {
        put(String.fromCodePoint(line.codePointAt(i)));
      }
      if (line.codePointAt(i) > 0xffff) i++;
    }
    if (quote !== "") return null;
    args.push(Uint8Array.from(bytes));
  }
}

// encodeCommand writes a command as an array of bulk strings.
export function encodeCommand(args) {
  const parts = [utf8.encode(`*${args.length}\r\n`)];
  for (const a of args) parts.push(utf8.encode(`$${a.length}\r\n`), a, utf8.encode("\r\n"));
  return concat(parts);
}

export function concat(parts) {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

// parse reads one value at pos: {v, end}, or null when bytes are missing.
export function parse(buf, pos = 0) {
  const nl = buf.indexOf(10, pos);
  if (nl < 0) return null;
  const type = String.fromCharCode(buf[pos]);
  const head = plain(buf.subarray(pos + 1, nl - 1));
  let end = nl + 1;
  switch (type) {
    case "+": case "-": case ":": case ",": case "(": case "#":
      return { v: { type, value: head }, end };
    case "_":
      return { v: { type, value: null }, end };
  }
  const n = Number(head);
  if (!Number.isInteger(n) || !"$=!*~>%|".includes(type)) throw new Error("no RESP: " + type + head);
  if (n < 0) return { v: { type: "_", value: null }, end };
  if ("$=!".includes(type)) {
    if (buf.length < end + n + 2) return null;
    return { v: { type, value: buf.slice(end, end + n) }, end: end + n + 2 };
  }
  const value = [];
  for (let left = "%|".includes(type) ? 2 * n : n; left > 0; left--) {
    const r = parse(buf, end);
    if (!r) return null;
    value.push(r.v);
    end = r.end;
  }
  return type === "|" ? parse(buf, end) : { v: { type, value }, end };
}
