// Link is the page's connection to the gateway, byor.json.v1. It has calls with answers, and pushes. When it
// is lost, it comes back by itself.

export const socketURL = () => (location.protocol === "https:" ? "wss" : "ws") + "://" + location.host + "/ws";

const toJSON = (v) => (v instanceof Uint8Array ? { b64: btoa(String.fromCharCode(...v)) } : String(v));
function fromJSON(v) {
  if (v === null || typeof v !== "object") return v;
  if (Array.isArray(v)) return v.map(fromJSON);
  if ("b64" in v) return Uint8Array.from(atob(v.b64), (c) => c.charCodeAt(0));
  if ("int" in v) return BigInt(v.int);
  if ("double" in v) return { inf: Infinity, "-inf": -Infinity }[v.double] ?? NaN;
  if ("map" in v) return new Map(v.map.map(([k, w]) => [fromJSON(k), fromJSON(w)]));
  if ("set" in v) return new Set(v.set.map(fromJSON));
  if ("err" in v) return Object.assign(new Error(v.err.message), v.err);
  return v;
}

export class Link extends EventTarget {
  #ws = null;
  #next = 1;
  #waiting = new Map();
  #attempt = 0;
  #pause = null; // [min, max] ms, from a goodbye
  #timer = 0;
  state = "connecting";
  auth = null; // {user, pass} once someone has logged in
  name = "";

  connect() {
    clearTimeout(this.#timer);
    this.#set("connecting");
    const ws = (this.#ws = new WebSocket(socketURL(), "byor.json.v1"));
    ws.onopen = () => this.#hello();
    ws.onmessage = (e) => { for (const line of e.data.split("\n")) this.#hear(JSON.parse(line)); };
    ws.onclose = (e) => { if (ws === this.#ws) this.#lost(e); };
  }

  // reconnect drops the connection, if there is one, and opens a new one.
  reconnect() {
    const old = this.#ws;
    this.#ws = null;
    if (old) old.close(1000);
    this.#fail("reconnecting");
    this.#attempt = 0;
    this.connect();
  }

  // call runs one operation; the answer is its result, or an Error with a code.
  call(op, fields = {}) {
    return new Promise((resolve, reject) => {
      if (!this.#ws || this.#ws.readyState !== WebSocket.OPEN) return reject(new Error("not connected"));
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject, op, fields });
      this.#ws.send(JSON.stringify({ id, op, ...fields }));
    });
  }

  cmd(...args) { return this.call("cmd", { args: args.map(toJSON) }).then(fromJSON); }

  async #hello() {
    const fields = { name: this.name };
    if (this.auth) fields.auth = this.auth;
    try {
      const answer = await this.call("hello", fields);
      this.#attempt = 0;
      this.#pause = null;
      this.#set("up", answer);
    } catch (err) {
      if (["NOAUTH", "WRONGPASS"].includes(err.code)) this.#set("locked", err.message);
      else this.#set("down", err.message);
    }
  }

  login(user, pass) {
    this.auth = { user, pass };
    if (this.#ws && this.#ws.readyState === WebSocket.OPEN) this.#hello();
    else this.reconnect();
  }

  #hear(m) {
    if (m.push) {
      if (m.push === "goodbye") this.#pause = m.reconnectMs;
      this.dispatchEvent(new CustomEvent(m.push, { detail: m }));
      return;
    }
    const w = this.#waiting.get(m.id);
    if (!w) return;
    this.#waiting.delete(m.id);
    if (!m.error) return w.resolve(m.result);
    if (m.error.code === "RATE") { // too fast: the same again in a moment
      setTimeout(() => this.call(w.op, w.fields).then(w.resolve, w.reject), 300 + 700 * Math.random());
      return;
    }
    w.reject(Object.assign(new Error(m.error.message), m.error));
  }

  #lost(e) {
    this.#fail("the connection was lost");
    if (this.state === "locked" && e.code === 4001) return this.#set("locked", "log in to connect");
    // Not all at once and not at the same pace: a jitter over a growing span.
    const [min, max] = this.#pause ?? [200, Math.min(15000, 500 * 2 ** this.#attempt)];
    const wait = min + Math.random() * (max - min);
    this.#attempt++;
    this.#set("down", `closed ${e.code}${e.reason ? " (" + e.reason + ")" : ""}, again in ${(wait / 1000).toFixed(1)} s`);
    this.#timer = setTimeout(() => this.connect(), wait);
  }

  #fail(why) {
    for (const w of this.#waiting.values()) w.reject(new Error(why));
    this.#waiting.clear();
  }

  #set(state, detail) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, detail } }));
  }
}
