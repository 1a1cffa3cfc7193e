// All panels share this. Everything from the server goes into the document as text (textContent), never as
// markup: anyone may have written those keys and messages.

import { pieces, plain } from "./bytes.js";

export const $ = (id) => document.getElementById(id);

// el makes an element: a tag, its classes, and children that are nodes or text.
export function el(tag, classes, ...children) {
  const e = document.createElement(tag);
  if (classes) e.className = classes;
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

// button makes a button that does something. label is its name for those who do not see it.
export function button(text, classes, label, onclick) {
  const b = el("button", classes, text);
  b.type = "button";
  if (label) {
    b.title = label;
    b.setAttribute("aria-label", label);
  }
  b.onclick = onclick;
  return b;
}

// sure makes a button that asks before it acts: the first press changes its text, the second one acts.
export function sure(text, classes, label, act) {
  const b = button(text, classes, label, () => {
    if (b.textContent === "Sure?") return act();
    b.textContent = "Sure?";
    b.classList.add("danger");
    setTimeout(() => {
      b.textContent = text;
      b.classList.remove("danger");
    }, 4000);
  });
  return b;
}

// field makes a text field.
export function field(label, value = "", classes = "") {
  const f = el("input", classes);
  f.value = value;
  f.placeholder = label;
  f.autocomplete = "off";
  f.spellcheck = false;
  f.setAttribute("aria-label", label);
  return f;
}

// text renders a value as one line of text.
export function text(v) {
  if (v === null || v === undefined) return "(nil)";
  if (v instanceof Uint8Array) return plain(v);
  if (Array.isArray(v)) return "[" + v.map(text).join(", ") + "]";
  if (v instanceof Map) return "{" + [...v].map(([k, w]) => text(k) + ": " + text(w)).join(", ") + "}";
  if (v instanceof Set) return "{" + [...v].map(text).join(", ") + "}";
  if (v instanceof Error) return [v.code, v.message].filter(Boolean).join(" ");
  return typeof v === "string" ? plain(v) : String(v);
}

// show renders a value as nodes. Bytes that are no text stand out.
export function show(v) {
  if (typeof v !== "string" && !(v instanceof Uint8Array)) return [text(v)];
  return pieces(v).map((p) => p.text ?? el("span", "byte", p.hex));
}

// cli is how a terminal reaches the server. A server without a port has another way in, which we do not know.
export const cli = (port) => (Number(port) ? `redis-cli -p ${port}` : "redis-cli");

export const count = (n) => Number(n).toLocaleString("en");
export const plural = (n, word) => `${count(n)} ${word}${Number(n) === 1 ? "" : word.endsWith("s") ? "es" : "s"}`;
