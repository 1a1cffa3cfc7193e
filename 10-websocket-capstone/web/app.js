// The page. Everything that comes from the server goes into the document as
// text (textContent), never as markup: keys and messages are written by anyone.

import { Link } from "./link.js";
import { startConsole } from "./console.js";
import { startLab } from "./lab.js";
import { startKeys } from "./keys.js";
import { startServer } from "./server.js";

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

const link = new Link();
const stored = localStorage.getItem("name");
link.name = stored || "guest" + Math.floor(100 + 900 * Math.random());
$("name").value = link.name;

link.addEventListener("state", ({ detail: { state, detail } }) => {
  $("dot").className = "dot" + (state === "up" ? " up" : state === "down" ? " down" : "");
  $("state").textContent = { up: "connected", connecting: "connecting", locked: "password needed" }[state] ?? detail;
  $("login").hidden = state !== "locked";
  for (const id of ["role", "rtt"]) if (state !== "up") $(id).hidden = true;
  if (state === "up") $("state").textContent = `connected, client ${detail.client}`;
  if (state === "locked" && link.auth) $("state").textContent = detail;
});
$("reconnect").onclick = () => link.reconnect();
$("login").onsubmit = (e) => {
  e.preventDefault();
  link.login($("user").value.trim(), $("pass").value);
};
$("name").onchange = () => {
  link.name = $("name").value.trim().replace(/\s+/g, "-") || link.name;
  $("name").value = link.name;
  localStorage.setItem("name", link.name);
  link.reconnect();
};

startConsole(link);
startLab(link);
startKeys(link);
startServer(link);
link.connect();
