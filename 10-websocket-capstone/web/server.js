// The server's panel and the charts: INFO and a PING, once a second. The other panels hear of it as the event
// "info".

import { Chart } from "./chart.js";
import { startClients } from "./clients.js";
import { $, count, el, text } from "./dom.js";

const bytes = (text) => {
  let n = Number(text);
  let i = 0;
  for (; n >= 1024 && i < 4; i++) n /= 1024;
  return n.toFixed(i && n < 100 ? 1 : 0) + " " + ["B", "KB", "MB", "GB", "TB"][i];
};
const span = (s) => (s < 120 ? `${s} s` : s < 7200 ? `${Math.floor(s / 60)} min` : s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`);
const ago = (unix) => (Number(unix) ? span(Math.max(0, Math.floor(Date.now() / 1000 - unix))) + " ago" : "never");

// The lines of the panel: a group, a label, and the value made from INFO's fields.
const facts = [
  ["Server", "uptime", (f) => span(Number(f.uptime_in_seconds))],
  ["Server", "role", (f) => f.role],
  ["Server", "commands", (f) => count(f.total_commands_processed)],
  ["Server", "hits / misses", (f) => `${count(f.keyspace_hits)} / ${count(f.keyspace_misses)}`],
  ["Server", "expired", (f) => count(f.expired_keys)],
  ["Server", "network", (f) => `${bytes(f.total_net_input_bytes)} in, ${bytes(f.total_net_output_bytes)} out`],
  ["Persistence", "snapshot", (f) => (f.rdb_bgsave_in_progress === "1" ? "being written" : ago(f.rdb_last_save_time))],
  ["Persistence", "changes since", (f) => count(f.rdb_changes_since_last_save)],
  ["Persistence", "append-only file", (f) => (f.aof_enabled === "1" ? (f.aof_current_size ? bytes(f.aof_current_size) : "on") : "off")],
  ["Persistence", "last write", (f) => (f.aof_enabled === "1" ? f.aof_last_write_status : f.rdb_last_bgsave_status)],
  ["Replication", "replicas", (f) => (Number(f.connected_slaves) ? f.connected_slaves : "none")],
  ["Replication", "offset", (f) => count(f.master_repl_offset)],
  ["Replication", "master", (f) => (f.master_host ? `${f.master_host}:${f.master_port} ${f.master_link_status}` : undefined)],
  ["Replication", "ID", (f) => f.master_replid?.slice(0, 12) + "…"],
];

const charts = {
  ops: { name: "Operations / s", colour: "--accent", format: (v) => count(v < 10 ? Math.round(v * 10) / 10 : Math.round(v)) },
  mem: { name: "Memory", colour: "--violet", format: bytes, step: 1024 },
  clients: { name: "Clients", colour: "--blue", format: count },
  lat: { name: "Round trip", colour: "--good", format: (v) => v.toFixed(v < 10 ? 1 : 0) + " ms" },
};

// replicas returns a line for each one that follows: slave0:ip=…,port=…,state=online,offset=…,lag=0
function replicas(f) {
  const out = [];
  for (let i = 0; f["slave" + i]; i++) {
    const r = Object.fromEntries(f["slave" + i].split(",").map((part) => part.split("=")));
    const behind = Number(f.master_repl_offset) - Number(r.offset);
    out.push([`${r.ip}:${r.port}`, r.state === "online" ? `${behind > 0 ? bytes(behind) + " behind" : "up to date"}, lag ${r.lag} s` : r.state]);
  }
  return out;
}

function parseInfo(info) {
  const fields = {};
  for (const line of info.split(/\r?\n/)) {
    const i = line.indexOf(":");
    if (i > 0) fields[line.slice(0, i)] = line.slice(i + 1);
  }
  return fields;
}

export function startServer(link) {
  for (const [id, what] of Object.entries(charts)) what.chart = new Chart($(id), what);
  let before = null;
  remember();

  async function poll() {
    if (link.state !== "up") return;
    const rtt = await link.ping();
    const fields = parseInfo(text(await link.call("INFO")));
    measure(fields, rtt);
    panel(fields);
    link.dispatchEvent(new CustomEvent("info", { detail: { fields, rtt } }));
  }

  function measure(f, rtt) {
    const now = performance.now();
    const commands = Number(f.total_commands_processed);
    if (before && commands >= before.commands) charts.ops.chart.add(((commands - before.commands) / (now - before.at)) * 1000);
    before = { commands, at: now };
    charts.mem.chart.add(Number(f.used_memory));
    charts.clients.chart.add(Number(f.connected_clients));
    charts.lat.chart.add(rtt);
  }

  function panel(f) {
    let group = "";
    const rows = [];
    const row = (name, value) => rows.push(el("div", "", el("dt", "", name), el("dd", "", value)));
    const title = (name) => {
      if (name !== group) rows.push(el("div", "group", name));
      group = name;
    };
    for (const [where, name, make] of facts) {
      const value = make(f);
      if (value === undefined || /undefined|NaN/.test(value)) continue;
      title(where);
      row(name, value);
    }
    if (f.slave0) title("Replicas");
    for (const [name, value] of replicas(f)) row(name, value);
    for (const db of Object.keys(f).filter((k) => /^db\d+$/.test(k))) {
      title("Keys");
      row(db, f[db].replace(/,avg_ttl.*/, "").replace(/(\w+)=(\d+)/g, (_, what, n) => `${what} ${count(n)}`).replace(",", ", "));
    }
    $("facts").replaceChildren(...rows);
  }

  // Who may not ask for INFO sees that; what else can go wrong is told by the connection's state.
  function fail(err) {
    if (err.code === "NOPERM") $("facts").replaceChildren(el("p", "hint", err.message));
  }

  // The points outlive a reload of the page, in this tab.
  function remember() {
    try {
      const kept = JSON.parse(sessionStorage.getItem("charts") ?? "{}");
      for (const [id, points] of Object.entries(kept)) charts[id]?.chart.restore(points);
    } catch {
      sessionStorage.removeItem("charts");
    }
    addEventListener("pagehide", () => {
      sessionStorage.setItem("charts", JSON.stringify(Object.fromEntries(Object.entries(charts).map(([id, { chart }]) => [id, chart.points]))));
    });
  }

  // Nobody looks at a hidden page. It measures less often, so that its charts have no hole.
  const tick = () => poll().catch(fail).finally(() => setTimeout(tick, document.hidden ? 5000 : 1000));
  link.addEventListener("state", () => (before = null));
  startClients(link);
  tick();
}
