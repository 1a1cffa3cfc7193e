// Bytes as text. A value of Redis may hold any bytes. What is readable is shown as text, and \xHH stands only for
// the bytes that are not.

const utf8 = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const control = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/;
const hex = (b) => "\\x" + b.toString(16).padStart(2, "0");

// bytesOf returns a value's bytes; a string's are UTF-8.
export const bytesOf = (v) => (v instanceof Uint8Array ? v : utf8.encode(String(v)));

// textOf returns bytes as a string if they are UTF-8, else as they are.
export function textOf(bytes) {
  try {
    return strict.decode(bytes);
  } catch {
    return bytes;
  }
}

// same says whether two values have the same bytes.
export function same(a, b) {
  if (a === null || b === null || a === undefined || b === undefined) return a === b;
  const [x, y] = [bytesOf(a), bytesOf(b)];
  return x.length === y.length && x.every((c, i) => c === y[i]);
}

// runeAt returns how many bytes the UTF-8 character at i has, 0 if there is none.
export function runeAt(b, i) {
  const c = b[i];
  if (c < 0x80) return 1;
  const n = c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
  if (n === 0 || i + n > b.length) return 0;
  for (let k = 1; k < n; k++) if ((b[i + k] & 0xc0) !== 0x80) return 0;
  const d = b[i + 1];
  if ((c === 0xe0 && d < 0xa0) || (c === 0xed && d > 0x9f) || (c === 0xf0 && d < 0x90) || (c === 0xf4 && d > 0x8f)) return 0;
  return n;
}

// pieces cuts a value into readable text and unreadable bytes: [{text}, {hex}, …].
export function pieces(v) {
  if (typeof v === "string" && !control.test(v)) return v ? [{ text: v }] : [];
  const b = bytesOf(v);
  const out = [];
  let from = 0; // where the piece begins that is not yet in out
  let readable = true;
  const end = (to) => {
    const part = b.subarray(from, to);
    if (part.length) out.push(readable ? { text: strict.decode(part) } : { hex: Array.from(part, hex).join("") });
    from = to;
  };
  for (let i = 0; i < b.length; ) {
    const n = runeAt(b, i);
    const good = n > 1 || (n === 1 && !control.test(String.fromCharCode(b[i])));
    if (good !== readable) end(i);
    readable = good;
    i += n || 1;
  }
  end(b.length);
  return out;
}

// plain returns a value as a string, with \xHH for bytes that are not readable.
export const plain = (v) => pieces(v).map((p) => p.text ?? p.hex).join("");

// binary says whether a value has bytes that a text field would not keep.
export const binary = (v) => pieces(v).some((p) => p.hex || p.text.includes("\r"));

// escaped writes a value so that unescaped makes the same bytes of it: for a field in which it can be edited.
export const escaped = (v) => pieces(v).map((p) => p.hex ?? p.text.replace(/\\/g, "\\\\").replace(/\r/g, "\\x0d")).join("");

// unescaped reads what escaped wrote.
export function unescaped(text) {
  const out = [];
  for (const [part] of text.matchAll(/\\x[0-9a-f]{2}|\\\\|[^\\]+|\\/gi)) {
    if (/^\\x/i.test(part)) out.push(parseInt(part.slice(2), 16));
    else for (const b of utf8.encode(part === "\\\\" ? "\\" : part)) out.push(b);
  }
  return Uint8Array.from(out);
}
