// A client for browsers: one file without dependencies, made to be copied. The server has it twice:
//
//   import { connect } from "./client.js";          a module
//   <script src="client.script.js"></script>        a plain script: Byor.connect
//
//   const db = connect({ url: "wss://example.org/ws", auth: { user: "ann", pass: "…" }, name: "ann" });
//   await db.call("SET", "greeting", "hello");      // "OK"
//   db.subscribe("room:1", { last: 50, presence: true, onMessage: (m) => show(m.data), onResume: reload });
//   for await (const m of db.subscribe("log.*", { pattern: true })) console.log(m.channel, m.data);
//   for await (const job of db.consume("jobs")) { await work(job.data); await job.ack(); }
//
// connect returns at once. Calls wait, up to a bound, until there is a connection. A lost connection comes back by
// itself: the client subscribes again and asks for what it has missed. It never repeats a call whose fate it does
// not know: that call fails with the code "UNKNOWN". Events: "state" (see Client.state; detail says more),
// "goodbye" (the server is about to end), "push" (anything else that the server says unasked).
//
// The states: "connecting"; "up" (detail: client, user, ping, limits); "down" (detail: code, reason, retryMs: it
// will try again); "locked" (detail: error; it waits for login or reconnect); "closed".

/**
 * @typedef {string | number | bigint | Uint8Array | ArrayBuffer} Arg what stands for bytes
 * @typedef {string | Uint8Array} Bytes text where the bytes are UTF-8
 * @typedef {{user?: string, pass: string}} Auth the user is "default" unless given
 * @typedef {object} Options
 * @property {string} [url] of the socket; by default /ws of the server that the page came from
 * @property {Auth | (() => Auth | Promise<Auth>)} [auth] a function is asked before each connection
 * @property {string} [name] of this client; also the user in presence, unless auth names one
 * @property {number} [queueMax] calls that may wait to be sent (1000)
 * @property {number} [queueTimeoutMs] how long a call may wait to be sent (10000)
 * @property {number} [connectTimeoutMs] for a new connection (10000)
 * @property {number} [pingMs] of silence before the client asks whether the server is there; by default as the server
 * @property {number} [retryMaxMs] the longest pause between two attempts (15000)
 *
 * @typedef {{channel: Bytes, pattern?: string, data: Bytes, entry?: string}} Message entry: its ID in the history
 * @typedef {{users: number, members: Set<string> | null, join: string[], leave: string[]}} Presence
 *   members is null where there are too many to name
 * @typedef {object} SubscribeOptions
 * @property {boolean} [pattern] the name is a pattern such as log.*
 * @property {boolean} [presence] be seen in the channel, and see who is there
 * @property {number} [last] begin with that many messages of the history
 * @property {number} [bufferMax] messages that may wait for a loop (1000)
 * @property {(m: Message) => void} [onMessage] without it, iterate over the subscription
 * @property {(p: Presence) => void} [onPresence] at the beginning, after a reconnect, and when it changes
 * @property {(r: {recovered: boolean}) => void} [onResume] subscribed again after a reconnect. If recovered is false,
 *   messages may be missing, and a page does well to load its state anew.
 * @property {(e: Error) => void} [onError] the subscription has ended
 *
 * @typedef {{queue: string, entry: string, data: Bytes, tries: number, ack: () => Promise<number>}} Job
 * @typedef {object} ConsumeOptions
 * @property {"roundrobin" | "broadcast"} [policy] each job for one consumer (the default), or for all
 * @property {number} [prefetch] jobs that may be here without ack (10)
 * @property {(j: Job) => any} [onJob] the job is acknowledged when this ends without an error; without it, iterate
 * @property {(e: Error) => void} [onError] onJob has failed, or the consumer has ended
 */

/** An error of the server, with its code ("WRONGTYPE", "NOPERM", …), or one of these: OFFLINE (it was not sent), UNKNOWN
 * (it was sent, and nobody knows what became of it), TOOBIG, SLOW, CLOSED. retry: it may succeed later. */
class ByorError extends Error {
  constructor(code, message, retry = false) {
    super(message);
    Object.assign(this, { name: "ByorError", code, retry });
  }
}

/** decode makes a value of what the gateway sends: bytes, BigInt, Map, Set, and errors inside of replies. */
function decode(v) {
  if (v === null || typeof v !== "object") return v;
  if (Array.isArray(v)) return v.map(decode);
  if ("b64" in v) return Uint8Array.from(atob(v.b64), (c) => c.charCodeAt(0));
  if ("int" in v) return BigInt(v.int);
  if ("double" in v) return { inf: Infinity, "-inf": -Infinity }[v.double] ?? NaN;
  if ("map" in v) return new Map(v.map.map(([k, w]) => [decode(k), decode(w)]));
  if ("set" in v) return new Set(v.set.map(decode));
  if ("err" in v) return new ByorError(v.err.code, v.err.message, v.err.retry);
  return v;
}

/** encode makes JSON of an argument. */
function encode(arg) {
  if (typeof arg === "string") return arg;
  if (typeof arg === "number" || typeof arg === "bigint") return String(arg);
  if (arg instanceof ArrayBuffer) arg = new Uint8Array(arg);
  if (!(arg instanceof Uint8Array)) throw new TypeError(`an argument is a string, a number, a BigInt or bytes, not ${arg}`);
  let bytes = "";
  for (let i = 0; i < arg.length; i += 8192) bytes += String.fromCharCode(...arg.subarray(i, i + 8192));
  return { b64: btoa(bytes) };
}

/** after reports whether one ID of the history comes after another. */
function after(a, b) {
  const [x, y] = [a.split("-"), b.split("-")];
  const i = x[0] === y[0] ? 1 : 0;
  return x[i].length === y[i].length ? x[i] > y[i] : x[i].length > y[i].length;
}

/** tell calls a callback of the page. Its errors are the page's, and not ours. */
function tell(callback, ...args) {
  try {
    callback?.(...args);
  } catch (err) {
    globalThis.reportError ? reportError(err) : console.error(err);
  }
}

/** A Feed has items for a callback or for one loop: for await (const item of feed). Leaving the loop ends it. */
class Feed {
  #items = [];
  #loops = []; // those who wait for the next item
  #error = null;
  #settle;
  ended = false;

  constructor(callback, max, leave) {
    /** Resolves when the server has said yes; rejects when it has said no. */
    this.ready = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.ready.catch(() => {}); // nobody has to look
    Object.assign(this, { _callback: callback, _max: max, _leave: leave });
  }

  _begun(result) { this.#settle.resolve(result); }

  _put(item) {
    if (this.ended) return;
    if (this._callback) return tell(this._callback, item);
    if (this.#loops.length) return this.#loops.shift().resolve({ value: item, done: false });
    if (this.#items.length < this._max) return void this.#items.push(item);
    this._leave(new ByorError("SLOW", `the loop is too slow: ${this._max} items wait already`));
  }

  _forget() { this.#items = []; }

  _end(error) {
    if (this.ended) return;
    this.ended = true;
    this.#error = error ?? null;
    this.#settle.reject(error ?? new ByorError("CLOSED", "it has ended"));
    for (const loop of this.#loops.splice(0)) error ? loop.reject(error) : loop.resolve({ value: undefined, done: true });
    if (error) tell(this._onError, error);
  }

  [Symbol.asyncIterator]() { return this; }

  async next() {
    if (this.#items.length) return { value: this.#items.shift(), done: false };
    if (!this.ended) return new Promise((resolve, reject) => this.#loops.push({ resolve, reject }));
    const error = this.#error;
    this.#error = null;
    if (error) throw error;
    return { value: undefined, done: true };
  }

  async return() {
    this._leave();
    return { value: undefined, done: true };
  }
}

/** @implements {AsyncIterable<Message>} */
class Subscription extends Feed {
  /** Who is there, as told last. @type {Presence | null} */
  presence = null;
  _seen = null; // the last entry that was delivered

  constructor(name, o, leave) {
    super(o.onMessage, o.bufferMax ?? 1000, leave);
    Object.assign(this, { name, _o: o, _onError: o.onError });
  }

  unsubscribe() { this._leave(); }

  _message(m) {
    if (m.entry && this._seen && !after(m.entry, this._seen)) return;
    this._seen = m.entry ?? null;
    this._put(m);
  }

  _present(p) {
    this.presence = p;
    tell(this._o.onPresence, p);
  }
}

/** @implements {AsyncIterable<Job>} */
class Consumer extends Feed {
  constructor(queue, o, leave) {
    super(o.onJob && ((job) => this.#work(job)), Infinity, leave); // prefetch bounds it
    Object.assign(this, { queue, _o: o, _onError: o.onError });
  }

  stop() { this._leave(); }

  async #work(job) {
    try {
      await this._o.onJob(job);
      await job.ack();
    } catch (err) {
      tell(this._onError, err); // the job comes again when its time is over
    }
  }
}

class Client extends EventTarget {
  #o;
  #ws = null;
  #id = 0;
  #awaited = new Map(); // by id: requests that were sent
  #queue = []; // requests to be sent
  #topics = new Map(); // by kind and name
  #consumers = new Map(); // by queue
  #attempt = 0;
  #pause = null; // [min, max] ms, from a goodbye
  #lock = null; // why there is no point in trying
  #upSince = 0;
  #heard = 0;
  #probing = false;
  #tokens = { left: 0, at: 0 };
  #timers = {};
  /** @type {"connecting" | "up" | "down" | "locked" | "closed"} */
  state = "connecting";
  /** What the server said to hello: client, user, ping (seconds), limits. */
  session = null;

  /** @param {Options} o */
  constructor(o) {
    super();
    this.#o = { queueMax: 1000, queueTimeoutMs: 10000, connectTimeoutMs: 10000, retryMaxMs: 15000, ...o };
    this.url = o.url ?? location.origin.replace(/^http/, "ws") + "/ws";
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.addEventListener?.("pageshow", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
    globalThis.document?.addEventListener("resume", this.#wake); // Chromium: the tab was frozen
    this.#open();
  }

  /** Resolves when the connection is up. Rejects when the server refuses us, and after close. */
  get ready() {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (this.state === "up") resolve(this.session);
        else if (this.#lock) reject(this.#lock);
        else return;
        this.removeEventListener("state", look);
      };
      this.addEventListener("state", look);
      look();
    });
  }

  /** Runs a command. Errors of the server reject with a ByorError.
   * @param {...Arg} args @returns {Promise<any>} */
  call(...args) { return this.#ask("cmd", () => ({ args: args.map(encode) }), decode); }

  /** @param {string} channel @param {Arg} data @returns {Promise<number>} how many got it */
  publish(channel, data) { return this.#ask("pub", () => ({ channel, data: encode(data) })); }

  /** Any operation of the gateway, and its answer as it is. */
  request(op, fields = {}) { return this.#ask(op, () => fields); }

  /** @returns {Promise<number>} the milliseconds that a question takes, there and back */
  async ping() {
    const sent = performance.now();
    await this.request("ping");
    return performance.now() - sent;
  }

  /** Subscribes, now and after each reconnect. Several subscriptions may share a channel.
   * @param {string} name @param {SubscribeOptions} [o] @returns {Subscription} */
  subscribe(name, o = {}) {
    if (o.last !== undefined && !(Number.isInteger(o.last) && o.last >= 0)) throw new TypeError("last is a number of messages");
    if (o.pattern && (o.last || o.presence)) throw new TypeError("a pattern has no history and no presence of its own");
    const key = (o.pattern ? "p" : "c") + name;
    const sub = new Subscription(name, o, (error) => this.#leave(key, sub, error));
    if (this.state === "closed") return sub._end(this.#lock), sub;
    const topic = this.#topics.get(key) ?? { key, name, pattern: o.pattern, subs: new Set(), since: null, asked: 0 };
    this.#topics.set(key, topic);
    topic.subs.add(sub);
    if (this.state === "up") this.#push(this.#sub(topic, o.last ?? 0));
    return sub;
  }

  /** Takes jobs from a work queue, now and after each reconnect.
   * @param {string} queue @param {ConsumeOptions} [o] @returns {Consumer} */
  consume(queue, o = {}) {
    if (this.#consumers.has(queue)) throw new TypeError(`this client has a consumer of ${queue} already`);
    const consumer = new Consumer(queue, o, (error) => {
      if (this.#consumers.get(queue) !== consumer) return;
      this.#consumers.delete(queue);
      consumer._end(error);
      if (this.state === "up") this.#push({ op: "unconsume", fields: { queue }, renewed: true });
    });
    if (this.state === "closed") return consumer._end(this.#lock), consumer;
    this.#consumers.set(queue, consumer);
    if (this.state === "up") this.#push(this.#consume(consumer));
    return consumer;
  }

  /** Logs in with other credentials. @param {Auth} auth */
  login(auth) {
    this.#o.auth = auth;
    this.reconnect();
  }

  /** Opens a new connection in the place of the present one. @param {Options} [change] such as another name */
  reconnect(change = {}) {
    if (this.state === "closed") return;
    Object.assign(this.#o, change);
    this.#cut();
    this.#lock = null;
    this.#attempt = 0;
    this.#open();
  }

  /** Ends everything. What waits fails with the code CLOSED. */
  close() {
    if (this.state === "closed") return;
    for (const [target, type] of [[globalThis, "online"], [globalThis, "pageshow"], [globalThis.document, "visibilitychange"], [globalThis.document, "resume"]]) {
      target?.removeEventListener?.(type, this.#wake);
    }
    this.#cut();
    this.#give(new ByorError("CLOSED", "the client was closed"), "closed");
    for (const t of [...this.#topics.values()]) for (const sub of t.subs) sub._end();
    for (const c of [...this.#consumers.values()]) c._end();
    this.#topics.clear();
    this.#consumers.clear();
  }

  // From here on: the connection.

  #open() {
    clearTimeout(this.#timers.retry);
    this.#set("connecting");
    const ws = (this.#ws = new WebSocket(this.url, "byor.json.v1"));
    const mine = (f) => (e) => { if (ws === this.#ws) f(e); };
    ws.onopen = mine(() => this.#hello(ws));
    ws.onmessage = mine((e) => {
      this.#heard = performance.now();
      for (const line of e.data.split("\n")) mine(() => this.#hear(JSON.parse(line)))();
    });
    ws.onclose = mine((e) => this.#lost(e.code, e.reason));
    this.#timers.open = setTimeout(mine(() => this.#lost(0, "no answer")), this.#o.connectTimeoutMs);
  }

  async #hello(ws) {
    const no = (err) => {
      if (ws !== this.#ws) return;
      if (!/^(NOAUTH|WRONGPASS|NOPERM)$/.test(err.code)) return this.#lost(0, err.message);
      this.#cut();
      this.#give(err, "locked");
    };
    try {
      const auth = typeof this.#o.auth === "function" ? await this.#o.auth() : this.#o.auth;
      if (ws !== this.#ws) return;
      this.#send({ op: "hello", fields: { auth, name: this.#o.name || undefined }, renewed: true, done: (r) => this.#welcome(r), fail: no });
    } catch (err) {
      no(err);
    }
  }

  #welcome(session) {
    clearTimeout(this.#timers.open);
    this.#upSince = performance.now();
    this.#pause = null;
    this.#tokens = { left: 0.9 * session.limits.opsBurst, at: this.#upSince };
    this.session = session;
    this.state = "up";
    const again = [...this.#topics.values()].map((t) => this.#sub(t)).concat([...this.#consumers.values()].map((c) => this.#consume(c)));
    this.#queue.unshift(...again);
    this.#set("up", session);
    this.#pump();
    this.#watch();
  }

  /** The connection is gone, or as good as gone. */
  #lost(code, reason) {
    this.#cut();
    if (code === 1008) return this.#give(new ByorError("CLOSED", reason || "the server does not want us"), "locked");
    if (this.#upSince && performance.now() - this.#upSince > 10000) this.#attempt = 0;
    this.#upSince = 0;
    // Full jitter: anywhere below a growing limit, so that not all come back at once. The server may know better.
    const least = { 1013: 1000, 4029: 1000 }[code] ?? 0;
    const [min, max] = this.#pause ?? [least, least + Math.min(this.#o.retryMaxMs, 500 * 2 ** this.#attempt)];
    const retryMs = Math.round(min + Math.random() * (max - min));
    this.#attempt = Math.min(this.#attempt + 1, 20);
    this.#timers.retry = setTimeout(() => this.#open(), retryMs);
    this.#set("down", { code, reason, retryMs });
  }

  /** cut lets go of the socket. What may be asked again is kept, and the rest fails. */
  #cut() {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#timers = {};
    this.#probing = false;
    const ws = this.#ws;
    this.#ws = null;
    ws?.close(1000);
    const sent = [...this.#awaited.values()];
    this.#awaited.clear();
    this.#queue = sent.filter((r) => r.harmless).concat(this.#queue).filter((r) => !r.renewed);
    for (const c of this.#consumers.values()) c._forget(); // the server gives those jobs to somebody else
    for (const r of sent) {
      if (!r.harmless && !r.renewed) r.fail(new ByorError("UNKNOWN", `the connection was lost before the answer to ${r.op} came: it may have happened or not`));
    }
  }

  /** give up: there is no connection, and there will be none until somebody says so. */
  #give(error, state) {
    this.#lock = error;
    for (const r of this.#queue.splice(0)) {
      clearTimeout(r.timer);
      r.fail?.(error);
    }
    this.#set(state, { error });
  }

  #set(state, detail = {}) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { ...detail, state } }));
  }

  /** wake: the network is back, or somebody looks at the page again. */
  #wake = (e) => {
    if (e.type === "visibilitychange" && document.hidden) return;
    if (this.state === "down") this.#open();
    else if (this.state === "up") this.#probe(5000);
  };

  /** watch asks, after some silence, whether the server is there: 2.5 pings without a word, and it is not. A browser
   * does not show a page the server's own pings. */
  #watch() {
    if (this.state !== "up") return;
    const ping = this.#o.pingMs ?? 1000 * this.session.ping;
    const silent = performance.now() - this.#heard;
    if (silent >= ping) this.#probe(1.5 * ping);
    this.#timers.watch = setTimeout(() => this.#watch(), silent >= ping ? ping : ping - silent);
  }

  #probe(ms) {
    if (this.#probing) return;
    this.#probing = true;
    const sent = performance.now();
    // The gateway answers this by itself. A blocking command before it does not hold it up.
    this.#send({ op: "presence", fields: {}, renewed: true });
    this.#timers.probe = setTimeout(() => {
      this.#probing = false;
      if (this.#heard > sent) return;
      if (performance.now() - sent > 2 * ms) this.#probe(ms); // we were asleep ourselves, ask again
      else this.#lost(0, "no answer");
    }, ms);
  }

  // From here on: requests. One has op, fields, done and fail. A renewed one ends with its connection: the next has
  // its like. A harmless one may be sent twice. The others are sent once at most.

  #ask(op, fields, result = (v) => v) {
    return new Promise((resolve, reject) => {
      const r = { op, fields: fields(), done: (v) => resolve(result(v)), fail: reject };
      if (this.#lock) return reject(this.#lock);
      if (this.#queue.length >= this.#o.queueMax) return reject(new ByorError("OFFLINE", `${this.#queue.length} calls wait already; this one was not sent`, true));
      r.timer = setTimeout(() => {
        this.#queue = this.#queue.filter((q) => q !== r);
        reject(new ByorError("OFFLINE", `there was no connection for ${this.#o.queueTimeoutMs / 1000} s; the call was not sent`, true));
      }, this.#o.queueTimeoutMs);
      this.#push(r);
    });
  }

  #push(r) {
    this.#queue.push(r);
    this.#pump();
  }

  /** pump sends what waits, no faster than the server allows. */
  #pump() {
    while (this.state === "up" && this.#queue.length) {
      const { opsPerSecond: rate, opsBurst: burst } = this.session.limits;
      const now = performance.now();
      const left = rate ? Math.min(0.9 * burst, this.#tokens.left + ((now - this.#tokens.at) / 1000) * 0.95 * rate) : Infinity;
      this.#tokens = { left, at: now };
      if (left < 1) {
        clearTimeout(this.#timers.pump);
        this.#timers.pump = setTimeout(() => this.#pump(), ((1 - left) / rate) * 1100 + 1);
        return;
      }
      this.#tokens.left--;
      this.#send(this.#queue.shift());
    }
  }

  #send(r) {
    clearTimeout(r.timer);
    r.timer = 0;
    const id = ++this.#id;
    const text = JSON.stringify({ id, op: r.op, ...r.fields });
    const most = this.session?.limits.message ?? Infinity;
    if (3 * text.length > most && new TextEncoder().encode(text).length > most) {
      return r.fail?.(new ByorError("TOOBIG", `a message may have ${most} bytes; this one was not sent`));
    }
    this.#awaited.set(id, r);
    this.#ws.send(text);
  }

  #hear(m) {
    if (m.push) return this.#pushed(m);
    const r = this.#awaited.get(m.id);
    if (!r) return;
    this.#awaited.delete(m.id);
    if (!m.error) return r.done?.(m.result);
    const { code, message, retry } = m.error;
    if (code !== "RATE" || r.op === "hello") return r.fail?.(new ByorError(code, message, retry));
    this.#tokens = { left: -0.5 * this.session.limits.opsPerSecond, at: performance.now() }; // half a second's rest
    this.#queue.unshift(r); // it was not executed
    this.#pump();
  }

  #pushed(m) {
    const topic = this.#topics.get(m.push === "pmessage" ? "p" + m.pattern : "c" + m.channel);
    if (m.push === "message" || m.push === "pmessage") {
      if (!topic) return;
      const { pattern, entry } = m;
      const message = { channel: decode(m.channel), ...(pattern && { pattern }), data: decode(m.data), ...(entry && { entry }) };
      if (entry && !pattern) topic.since = entry;
      for (const sub of [...topic.subs]) sub._message(message);
    } else if (m.push === "presence") {
      if (topic) this.#present(topic, m);
    } else if (m.push === "job") {
      const { queue, entry, tries } = m;
      const ack = () => new Promise((done, fail) => {
        if (this.#lock) return fail(this.#lock);
        this.#push({ op: "ack", fields: { queue, entries: [entry] }, done, fail, harmless: true });
      });
      this.#consumers.get(queue)?._put({ queue, entry, data: decode(m.data), tries, ack });
    } else {
      if (m.push === "goodbye") this.#pause = m.reconnectMs;
      this.dispatchEvent(new CustomEvent(m.push === "goodbye" ? "goodbye" : "push", { detail: m }));
    }
  }

  // From here on: subscriptions and consumers.

  /** sub is the request that subscribes to a topic: from where we were, if there is a history and we have been there. */
  #sub(t, last) {
    const subs = [...t.subs];
    const fields = t.pattern ? { patterns: [t.name] } : { channels: [t.name] };
    if (subs.some((s) => s._o.presence)) fields.presence = true;
    last ??= Math.max(0, ...subs.map((s) => s._o.last ?? 0));
    const joins = t.asked === this.#upSince; // one more subscription of this connection
    const resumes = !joins && t.since !== null;
    if (resumes) fields.since = { [t.name]: t.since };
    else if (last) fields.last = last;
    t.asked = this.#upSince;
    const done = (r) => {
      const newest = r.last?.[t.name] ?? null;
      const recovered = resumes && r.recovered === true;
      // Messages move since on. Without any yet, it is the newest one; but not if the last ones are to come first.
      if (!recovered && !joins) t.since = fields.last && newest !== "0-0" ? null : newest;
      if (r.presence?.[t.name]) this.#present(t, r.presence[t.name]);
      for (const s of subs) {
        if (!s._subscribed) {
          s._subscribed = true;
          s._begun(r);
        } else if (!joins) {
          if (!recovered) s._seen = null; // the history may have begun anew
          tell(s._o.onResume, { recovered });
        }
      }
    };
    const fail = (err) => {
      t.asked = 0;
      if (err.retry) return void (this.#timers["sub" + t.key] = setTimeout(() => t.subs.size && this.#push(this.#sub(t)), 1000));
      for (const s of subs) this.#leave(t.key, s, err);
    };
    return { op: "sub", fields, renewed: true, done, fail };
  }

  /** leave ends one subscription, and with the last of its topic the server's. */
  #leave(key, sub, error) {
    const t = this.#topics.get(key);
    sub._end(error);
    if (!t?.subs.delete(sub) || t.subs.size) return;
    this.#topics.delete(key);
    if (this.state === "up") this.#push({ op: "unsub", fields: t.pattern ? { patterns: [t.name] } : { channels: [t.name] }, renewed: true });
  }

  /** present passes on who is there: a snapshot (members), or what has changed (join and leave). */
  #present(t, { users, members, join, leave }) {
    const known = members ?? (join && t.members);
    if (join && !known) return this.#push({ op: "presence", fields: { channels: [t.name] }, renewed: true, done: (r) => this.#present(t, r[t.name]) });
    const before = t.members ?? new Set();
    t.members = known ? new Set(known) : null;
    for (const user of join ?? []) t.members.add(user);
    for (const user of leave ?? []) t.members.delete(user);
    const come = [...(t.members ?? [])].filter((user) => !before.has(user));
    const gone = [...(t.members ? before : [])].filter((user) => !t.members.has(user));
    if (join && come.length + gone.length === 0) return; // the snapshot has told it already
    for (const s of t.subs) if (s._o.presence) s._present({ users, members: t.members, join: come, leave: gone });
  }

  #consume(c) {
    const { policy = "roundrobin", prefetch = 10 } = c._o;
    const done = (r) => c._begun(r);
    const fail = (err) => {
      if (err.retry) return void (this.#timers["job" + c.queue] = setTimeout(() => c.ended || this.#push(this.#consume(c)), 1000));
      c._leave(err);
    };
    return { op: "consume", fields: { queue: c.queue, policy, prefetch }, renewed: true, done, fail };
  }
}

/** Opens a connection and returns its client at once. @param {Options} [options] @returns {Client} */
function connect(options = {}) { return new Client(options); }

export { connect, ByorError };
