// The server's panel and the charts: INFO and a PING, once a second.

import { $, el, text } from "./dom.js";

const bytes = (text) => {
  let n = Number(text);
  let i = 0;
  for (; n >= 1024 && i < 4; i++) n /= 1024;
  return n.toFixed(i && n < 100 ? 1 : 0) + " " + ["B", "KB", "MB", "GB", "TB"][i];
};
const count = (n) => Number(n).toLocaleString("en");
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
  ["Replication", "replicas", (f) => f.connected_slaves],
  ["Replication", "offset", (f) => count(f.master_repl_offset)],
  ["Replication", "master", (f) => (f.master_host ? `${f.master_host}:${f.master_port} ${f.master_link_status}` : undefined)],
  ["Replication", "id", (f) => f.master_replid?.slice(0, 12) + "…"],
];

export function startServer(link) {
  const charts = {
    ops: new Chart($("ops"), "--accent"), mem: new Chart($("mem"), "--violet"),
    clients: new Chart($("clients"), "--blue"), lat: new Chart($("lat"), "--good"),
  };
  let before = null;
  const tryThis = $("try"); // it leaves the document with the first message

  async function poll() {
    if (link.state !== "up" || document.hidden) return;
    const sent = performance.now();
    await link.call("ping");
    const rtt = performance.now() - sent;
    const fields = {};
    for (const line of text(await link.cmd("INFO")).split(/\r?\n/)) {
      const i = line.indexOf(":");
      if (i > 0) fields[line.slice(0, i)] = line.slice(i + 1);
    }
    draw(fields, rtt);
  }

  function draw(f, rtt) {
    const now = performance.now();
    const commands = Number(f.total_commands_processed);
    if (before && commands >= before.commands) {
      const perSecond = ((commands - before.commands) / (now - before.at)) * 1000;
      charts.ops.add(perSecond);
      $("ops-now").textContent = count(Math.round(perSecond));
    }
    before = { commands, at: now };
    charts.mem.add(Number(f.used_memory));
    $("mem-now").textContent = bytes(f.used_memory);
    charts.clients.add(Number(f.connected_clients));
    $("clients-now").textContent = count(f.connected_clients);
    charts.lat.add(rtt);
    $("lat-now").textContent = rtt.toFixed(1) + " ms";

    $("role").hidden = $("rtt").hidden = false;
    $("role").textContent = f.role;
    $("rtt").textContent = rtt.toFixed(1) + " ms";
    $("version").textContent = `speaks as Redis ${f.redis_version}`;
    tryThis.textContent = `redis-cli -p ${f.tcp_port} PUBLISH room:1 hello`;
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
    for (const db of Object.keys(f).filter((k) => /^db\d+$/.test(k))) {
      title("Keys");
      row(db, f[db].replace(/,avg_ttl.*/, "").replace(/=/g, " ").replace(",", ", "));
    }
    $("facts").replaceChildren(...rows);
  }

  const tick = () => poll().catch((err) => console.warn(err)).finally(() => setTimeout(tick, 1000));
  link.addEventListener("state", () => (before = null));
  tick();
}

// Chart is a line over the last minute.
class Chart {
  #values = [];
  constructor(canvas, colour) {
    this.canvas = canvas;
    this.colour = colour;
  }

  add(v) {
    this.#values.push(v);
    if (this.#values.length > 60) this.#values.shift();
    this.#draw();
  }

  #draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const w = (canvas.width = canvas.clientWidth * ratio);
    const h = (canvas.height = canvas.clientHeight * ratio);
    const c = canvas.getContext("2d");
    const colour = getComputedStyle(canvas).getPropertyValue(this.colour).trim();
    const top = Math.max(...this.#values, 1e-9) * 1.15;
    const x = (i) => w - (this.#values.length - 1 - i) * (w / 59);
    const y = (v) => h - 1.5 * ratio - (v / top) * (h - 4 * ratio);
    const path = new Path2D();
    this.#values.forEach((v, i) => (i ? path.lineTo(x(i), y(v)) : path.moveTo(x(i), y(v))));
    const area = new Path2D(path);
    area.lineTo(w, h);
    area.lineTo(x(0), h);
    const fade = c.createLinearGradient(0, 0, 0, h);
    fade.addColorStop(0, colour + "55");
    fade.addColorStop(1, colour + "05");
    c.fillStyle = fade;
    c.fill(area);
    c.strokeStyle = colour;
    c.lineWidth = 1.6 * ratio;
    c.lineJoin = "round";
    c.stroke(path);
  }
}
