// Who is connected: a line for each client. CLIENT LIST is for those who rule the server. By default a page may
// not ask for it; then the panel says so.

import { $, cli, count, el, text } from "./dom.js";

const most = 100; // lines
const pauseMs = 2000;

const seconds = (s) => (s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h`);

// parse reads a line of CLIENT LIST: id=3 addr=127.0.0.1:1 name=x …
export const parse = (line) => Object.fromEntries(line.split(" ").map((w) => [w.slice(0, w.indexOf("=")), w.slice(w.indexOf("=") + 1)]));

// about says in a few words what a client is and does. Ours, and not Redis, add ws= and origin= for a browser.
function about(c) {
  if (c.flags?.includes("S")) return "replica";
  if (c.flags?.includes("M")) return "master";
  const topics = Number(c.sub) + Number(c.psub) + Number(c.ssub ?? 0);
  const does = topics ? `subscribed to ${topics}` : c.flags?.includes("b") ? "blocked" : c.cmd ?? "";
  if (!c.ws) return does;
  return [does, c.origin === location.origin ? "this page" : c.origin ? c.origin.replace(/^https?:../, "") : "WebSocket"].filter(Boolean).join(", ");
}

export function startClients(link) {
  let asked = 0; // when
  let denied = false;

  function draw(list) {
    const clients = text(list).split("\n").filter(Boolean).map(parse);
    const head = el("tr", "", ...["ID", "address", "name", "database", "idle", "does"].map((h) => el("th", "", h)));
    const body = clients.slice(0, most).map((c) => el("tr", "", ...[c.id, c.addr, c.name || "–", c.db, seconds(Number(c.idle)), about(c)].map((v) => el("td", "", v))));
    const table = el("table", "", el("thead", "", head), el("tbody", "", ...body));
    $("clientlist").replaceChildren(table);
    if (clients.length > most) $("clientlist").append(el("p", "hint", `and ${count(clients.length - most)} more`));
  }

  function say(err, port) {
    if (err.code !== "NOPERM") return $("clientlist").replaceChildren(el("p", "hint", err.message));
    denied = true; // until somebody else logs in
    $("clientlist").replaceChildren(el("p", "hint",
      "A web page may not ask who is connected, unless you let it. Start the server with ", el("code", "", "--ws-allow-commands 'client|list'"),
      ", or ask in a terminal: ", el("code", "", `${cli(port)} CLIENT LIST`)));
  }

  link.addEventListener("state", () => (denied = false));
  link.addEventListener("info", async ({ detail: { fields } }) => {
    $("howmany").textContent = count(fields.connected_clients);
    // Who has thousands of clients does not ask for all of them every other second.
    const pause = pauseMs * Math.max(1, Number(fields.connected_clients) / 200);
    if (denied || document.hidden || performance.now() - asked < pause && asked) return;
    asked = performance.now();
    try {
      draw(await link.call("CLIENT", "LIST"));
    } catch (err) {
      say(err, fields.tcp_port);
    }
  });
}
