// A dashboard: every channel metric:NAME on which somebody publishes numbers has a chart of the last five minutes.

const $ = (id) => document.getElementById(id);
const shortest = 60e3, longest = 5 * 60e3, most = 24; // ms on a chart; charts
const charts = new Map(); // by channel
const db = Byor.connect({ name: "dashboard" });

// build makes an element; those of a drawing have a namespace of their own.
function build(tag, fields = {}, ...children) {
  const e = /^(svg|poly)/.test(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [k, v] of Object.entries(fields)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

class Chart {
  points = []; // [ms, value]
  now = build("strong", { class: "now" }, "–");
  top = build("span", { class: "top" });
  low = build("span", { class: "low" });
  begin = build("span");
  line = build("polyline", { "vector-effect": "non-scaling-stroke" });
  area = build("polygon");

  constructor(channel) {
    this.title = channel.replace("metric:", "");
    this.picture = build("svg", { viewBox: "0 0 300 100", preserveAspectRatio: "none", role: "img" }, this.area, this.line);
    const axis = build("div", { class: "axis" }, this.begin, build("span", {}, "now"));
    $("charts").append(build("figure", {}, build("figcaption", {}, this.title), this.now,
      build("div", { class: "plot" }, this.picture, this.top, this.low), axis));
    $("empty").hidden = true;
  }

  // see takes a message. An entry of the history tells when it was published.
  see({ data, entry }) {
    const value = Number.parseFloat(data);
    if (Number.isFinite(value)) this.points.push([entry ? Number(entry.split("-")[0]) : Date.now(), value]);
    if (this.points.length > 1000) this.points.shift();
  }

  draw() {
    this.points = this.points.filter(([at], i) => at > Date.now() - longest || i === this.points.length - 1);
    const span = Math.max(shortest, Math.min(longest, Date.now() - (this.points[0]?.[0] ?? 0))), start = Date.now() - span;
    this.begin.textContent = `${Math.round(span / 60e3)} min ago`;
    const values = this.points.map(([, v]) => v);
    const low = Math.min(0, ...values), top = Math.max(...values, low + 1e-9);
    const at = this.points.map(([t, v]) => [Math.max(0, ((t - start) / span) * 300), 98 - ((v - low) / (top - low)) * 92]);
    if (at.length) at.push([300, at.at(-1)[1]]); // it holds until the next one
    this.line.setAttribute("points", at.join(" "));
    this.area.setAttribute("points", at.length ? [[at[0][0], 100], ...at, [300, 100]].join(" ") : "");
    const text = (v) => v.toLocaleString("en", { maximumSignificantDigits: 4 });
    this.now.textContent = values.length ? text(values.at(-1)) : "–";
    [this.top.textContent, this.low.textContent] = values.length ? [text(top), text(low)] : ["", ""];
    this.picture.setAttribute("aria-label", `${this.title}: now ${this.now.textContent}, between ${text(low)} and ${text(top)}`);
  }
}

// follow subscribes to one channel, from what its history has. The pattern below only tells of channels that are new.
function follow(channel, first) {
  if (charts.has(channel) || charts.size >= most) return;
  const chart = new Chart(channel);
  charts.set(channel, chart);
  localStorage.setItem("metrics", JSON.stringify([...charts.keys()]));
  db.subscribe(channel, { last: 300, onMessage: (m) => chart.see(m) }).ready.then((r) => {
    const kept = Boolean(r.last?.[channel]);
    $("note").hidden = kept;
    if (first && !kept) chart.see(first);
  }, (err) => chart.now.replaceChildren(err.message));
}

for (const channel of JSON.parse(localStorage.getItem("metrics") ?? "[]")) follow(channel);
db.subscribe("metric:*", { pattern: true, onMessage: (m) => typeof m.channel === "string" && follow(m.channel, m) });
db.addEventListener("state", async ({ detail }) => {
  $("state").textContent = { up: "connected", locked: "password needed" }[detail.state] ?? "connecting";
  $("state").className = "state " + detail.state;
  $("login").hidden = detail.state !== "locked";
  if (detail.state !== "up") return;
  const port = /tcp_port:(\d+)/.exec(await db.call("INFO", "server").catch(() => ""))?.[1];
  if (port) $("try").textContent = `redis-cli -p ${port} PUBLISH metric:load 0.7`;
});
$("login").onsubmit = (e) => (e.preventDefault(), db.login({ user: $("user").value.trim() || "default", pass: $("pass").value }));
let feeding = 0, level = 50;
$("feed").onclick = () => {
  $("feed").textContent = feeding ? "Feed it" : "Stop feeding";
  feeding = feeding ? clearInterval(feeding) : setInterval(() => {
    level = Math.max(0, Math.min(100, level + 20 * (Math.random() - 0.5)));
    db.publish("metric:walk", level.toFixed(1)).catch(() => {});
  }, 500);
};
setInterval(() => { for (const chart of charts.values()) chart.draw(); }, 500);
