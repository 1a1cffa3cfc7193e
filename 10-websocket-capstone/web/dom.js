// All panels share this. Everything from the server goes into the document as text (textContent), never as
// markup: anyone may have written those keys and messages.

export const $ = (id) => document.getElementById(id);

// el makes an element: a tag, its classes, and children that are nodes or text.
export function el(tag, classes, ...children) {
  const e = document.createElement(tag);
  if (classes) e.className = classes;
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

// text renders a JSON value of the gateway as one line of text.
export function text(v) {
  if (v === null || v === undefined) return "(nil)";
  if (typeof v !== "object") return String(v);
  if (Array.isArray(v)) return "[" + v.map(text).join(", ") + "]";
  if ("b64" in v) return Array.from(atob(v.b64), (c) => (c >= " " && c <= "~" ? c : "\\x" + c.charCodeAt(0).toString(16).padStart(2, "0"))).join("");
  if ("int" in v) return v.int;
  if ("double" in v) return v.double;
  if ("map" in v) return "{" + v.map.map(([k, w]) => text(k) + ": " + text(w)).join(", ") + "}";
  if ("set" in v) return "{" + v.set.map(text).join(", ") + "}";
  if ("err" in v) return v.err.code + " " + v.err.message;
  return JSON.stringify(v);
}
