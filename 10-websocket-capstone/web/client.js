// A client for browsers: one file without dependencies, made to be copied. The server has it in two forms:
//
//   import { connect } from "./client.js";            a module
//   <script src="client.script.js"></script>          a plain script: Byor.connect
//
//   const db = connect({ auth: { user: "ann", pass: "…" } });
//   await db.call("SET", "greeting", "hello");        // "OK"
//   db.subscribe("room:1", { last: 50, presence: true, onMessage: (m) => show(m.data), onResume: reload });
//   for await (const m of db.subscribe("log.*", { pattern: true })) console.log(m.channel, m.data);
//   for await (const job of db.consume("jobs")) { await work(job.data); await job.ack(); }
//
// connect returns at once. Calls wait, up to a bound, until there is a connection. A lost connection comes back by
// itself: the client subscribes again and asks for what it has missed. It never repeats a call whose fate it does
// not know: that call fails with the code "UNKNOWN". What belongs to one connection ends with it: SELECT, WATCH, MULTI.
//
// Events of a client: "state", "goodbye" (the server is about to end), "push" (what else it says unasked). Its states,
// with the detail of the event: "connecting"; "up" {client, user, ping, limits}; "down" {code, reason, retryMs}: it will
// try again; "locked" {error}: the server refuses us, and the client waits for login or reconnect; "closed".

/**
 * @typedef {string | number | bigint | Uint8Array | ArrayBuffer} Arg what stands for bytes
 * @typedef {string | Uint8Array} Bytes text where the bytes are UTF-8
 * @typedef {{user?: string, pass: string}} Auth the user is "default" unless given
 * @typedef {object} Options
 * @property {string} [url] of the socket; by default /ws of the server that the page came from
 * @property {Auth | (() => Auth | Promise<Auth>)} [auth] a function is asked before each connection
 * @property {string} [name] of this client; also the user in presence, unless auth names one
 * @property {number} [queueMax] calls that may wait to be sent (1000)
 * @property {number} [queueTimeoutMs] how long one may wait (10000)
 * @property {number} [connectTimeoutMs] for a new connection (10000)
 * @property {number} [pingMs] of silence before the client asks whether the server is there; by default as the server
 * @property {number} [retryMaxMs] the longest pause between two attempts (15000)
 * @typedef {{channel: Bytes, pattern?: string, data: Bytes, entry?: string}} Message entry: its ID in the history
 * @typedef {{users: number, members: Set<string> | null, join: string[], leave: string[]}} Presence
 *   members is null where there are too many to name
 * @typedef {object} SubscribeOptions
 * @property {boolean} [pattern] the name is a pattern such as log.*
 * @property {boolean} [presence] be seen in the channel, and see who is there
 * @property {number} [last] begin with that many messages of the history
 * @property {number} [bufferMax] messages that may wait for a loop (1000)
 * @property {(m: Message) => void} [onMessage] without it, loop over the subscription
 * @property {(p: Presence) => void} [onPresence] at the beginning, after a reconnect, and when it changes
 * @property {(r: {recovered: boolean}) => void} [onResume] subscribed again after a reconnect. Where recovered is
 *   false, messages may be missing, and a page does well to load its state anew.
 * @property {(e: Error) => void} [onError] the subscription has ended
 * @typedef {{queue: string, entry: string, data: Bytes, fields?: Map<Bytes, Bytes>, tries: number, ack: () => Promise<number>}} Job
 * @typedef {object} ConsumeOptions
 * @property {"roundrobin" | "broadcast"} [policy] each job for one consumer (the default), or for all
 * @property {number} [prefetch] jobs that may be here without ack (10)
 * @property {(j: Job) => any} [onJob] the job is acknowledged when this ends without an error; without it, loop
 * @property {(e: Error) => void} [onError] onJob has failed, or the consumer has ended
 */

/** An error of the server, with its code ("WRONGTYPE", "NOPERM", …), or one of these: OFFLINE (it was not sent), UNKNOWN
 * (it was sent, and nobody knows what became of it), TOOBIG, SLOW, CLOSED. retry: it may succeed later. */
class ByorError extends Error {
  constructor(code, message, retry = false) {
    super(message);
    this.name = "ByorError";
    this.code = code;
    this.retry = retry;
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
  return new ByorError(v.err.code, v.err.message, v.err.retry);
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

/** named checks the name of a channel or queue. */
function named(name) {
  if (typeof name === "string" && name) return name;
  throw new TypeError(`a name is a string, not ${name}`);
}

/** after reports whether one ID of the history comes after another. */
function after(a, b) {
  const [x, y] = [a.split("-"), b.split("-")];
  const i = x[0] === y[0] ? 1 : 0;
  return x[i].length === y[i].length ? x[i] > y[i] : x[i].length > y[i].length;
}

/** tell calls a callback of the page. Its errors are the page's, and not ours. */
function tell(callback, ...args) {
  try { callback?.(...args); } catch (err) { setTimeout(() => { throw err; }); }
}

/** A Feed has items for a callback or for a loop: for await (const item of feed). To leave the loop ends it.
 * @template T */
class Feed {
  #items = [];
  #error = null;
  /** @type {Function} */
  #wake = () => {}; // the loop, if it waits
  #settle;
  ended = false;

  constructor(options, callback, max, leave) {
    /** Resolves when the server has said yes; rejects when it has said no. */
    this.ready = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.ready.catch(() => {}); // nobody has to look
    this._options = options;
    this._callback = callback;
    this._max = max;
    this._leave = leave;
  }

  /** Ends it. */
  stop() { this._leave(); }
  _begun(result) { this.#settle.resolve(result); }
  _forget() { this.#items = []; }
  _put(item) {
    if (this.ended) return;
    if (this._callback) return tell(this._callback, item);
    if (this.#items.length >= this._max) return this._leave(new ByorError("SLOW", `the loop is too slow: ${this._max} items wait`));
    this.#items.push(item);
    this.#wake();
  }

  _end(error = null) {
    if (this.ended) return;
    this.ended = true;
    this.#error = error;
    this.#settle.reject(error ?? new ByorError("CLOSED", "it has ended"));
    this.#wake();
    if (error) tell(this._options.onError, error);
  }

  /** @returns {AsyncGenerator<T, void>} */
  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        while (this.#items.length) yield this.#items.shift();
        if (this.#error) throw this.#error;
        if (this.ended) return;
        await new Promise((wake) => (this.#wake = wake));
      }
    } finally {
      this.stop();
    }
  }
}

/** @extends {Feed<Message>} */
class Subscription extends Feed {
  name = ""; // the channel or pattern
  /** Who is there, as told last. @type {Presence | null} */
  presence = null;
  _seen = null; // the last entry that was delivered
  _subscribed = false; // the server has said yes once

  unsubscribe() { this.stop(); }
  _message(m) {
    if (m.entry && this._seen && !after(m.entry, this._seen)) return;
    this._seen = m.entry ?? null;
    this._put(m);
  }

  _confirmed(result, recovered) {
    if (this._subscribed && !recovered) this._seen = null; // the history may have begun anew
    if (this._subscribed) tell(this._options.onResume, { recovered });
    this._subscribed = true;
    this._begun(result);
  }

  _present(p) {
    if (this._options.presence) tell(this._options.onPresence, (this.presence = p));
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
  /** What the server said to hello last: client, user, ping (seconds), limits. */
  session = null;

  /** @param {Options} o */
  constructor(o) {
    super();
    this.#o = { queueMax: 1000, queueTimeoutMs: 10000, connectTimeoutMs: 10000, retryMaxMs: 15000, ...o };
    this.url = o.url ?? location.origin.replace(/^http/, "ws") + "/ws";
    this.#listen("addEventListener");
    this.#open();
  }

  /** Resolves when the connection is up. Rejects when the server refuses us, and after close. */
  get ready() {
    if (this.#lock) return Promise.reject(this.#lock);
    if (this.state === "up") return Promise.resolve(this.session);
    return new Promise((done) => this.addEventListener("state", done, { once: true })).then(() => this.ready);
  }

  /** Runs a command. Errors of the server reject with a ByorError. @param {...Arg} args @returns {Promise<any>} */
  call(...args) { return this.#ask("cmd", () => ({ args: args.map(encode) }), decode); }
  /** @param {string} channel @param {Arg} data @returns {Promise<number>} how many got it */
  publish(channel, data) { return this.#ask("pub", () => ({ channel: named(channel), data: encode(data) })); }
  /** Any operation of the gateway, and its answer as it is. */
  request(op, fields = {}) { return this.#ask(op, () => fields); }
  /** @returns {Promise<number>} the milliseconds that a question takes, there and back */
  ping(sent = performance.now()) { return this.request("ping").then(() => performance.now() - sent); }

  /** Subscribes, now and after each reconnect. Several subscriptions may share a channel; the first decides on last.
   * @param {string} name @param {SubscribeOptions} [o] @returns {Subscription} */
  subscribe(name, o = {}) {
    const key = (o.pattern ? "p" : "c") + named(name);
    const known = this.#topics.get(key);
    if (!Number.isSafeInteger(o.last ?? 0) || o.last < 0) throw new TypeError("last is a number of messages");
    if (o.pattern && (o.last || o.presence)) throw new TypeError("a pattern has no history and no presence of its own");
    const sub = new Subscription(o, o.onMessage, o.bufferMax ?? 1000, (error) => this.#leave(key, sub, error));
    sub.name = name;
    if (this.state === "closed") return sub._end(this.#lock), sub;
    const t = known ?? { key, name, pattern: o.pattern, subs: new Set(), last: o.last ?? 0, since: null, here: null, answer: null };
    this.#topics.set(key, t);
    t.subs.add(sub);
    if (this.state === "up" && !known) this.#push(this.#sub(t));
    if (this.state !== "up" || !known?.answer) return sub; // it is told with the others
    sub._confirmed(t.answer);
    if (!o.presence) return sub;
    if (t.here) sub._present({ ...t.here, join: [...(t.here.members ?? [])], leave: [] });
    else this.#push({ op: "sub", fields: { channels: [name], presence: true }, renewed: true, done: (r) => this.#present(t, r.presence[name]) });
    return sub;
  }

  /** Takes jobs from a work queue, now and after each reconnect. One consumer for each queue.
   * @param {string} queue @param {ConsumeOptions} [o] @returns {Feed<Job>} */
  consume(queue, o = {}) {
    if (this.#consumers.has(named(queue))) throw new TypeError(`this client has a consumer of ${queue} already`);
    const work = async (job) => (await o.onJob(job), job.ack());
    const begin = (job) => work(job).catch((err) => tell(o.onError, err)); // the job comes again when its time is over
    const consumer = new Feed(o, o.onJob && begin, Infinity, (error) => { // prefetch bounds what waits
      consumer._end(error);
      if (this.#consumers.get(queue) !== consumer) return;
      this.#consumers.delete(queue);
      if (this.state === "up") this.#push({ op: "unconsume", fields: { queue }, renewed: true });
    });
    if (this.state === "closed") return consumer._end(this.#lock), consumer;
    this.#consumers.set(queue, consumer);
    if (this.state === "up") this.#push(this.#consume(queue, consumer));
    return consumer;
  }

  /** Logs in with other credentials. @param {Auth} auth */
  login(auth) { this.reconnect({ auth }); }

  /** Opens a new connection in the place of the present one. @param {Options} [change] such as another name */
  reconnect(change = {}) {
    if (this.state === "closed") return;
    Object.assign(this.#o, change);
    this.#cut();
    this.#attempt = 0;
    this.#open();
  }

  /** Ends everything. What waits fails with the code CLOSED. */
  close() {
    if (this.state === "closed") return;
    this.#listen("removeEventListener");
    this.#cut();
    for (const t of this.#topics.values()) for (const sub of t.subs) sub._end();
    for (const c of this.#consumers.values()) c._end();
    for (const all of [this.#topics, this.#consumers]) all.clear();
    this.#give(new ByorError("CLOSED", "the client was closed"), "closed");
  }

  // From here on: the connection.

  #open() {
    clearTimeout(this.#timers.retry);
    this.#lock = null;
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
    const fail = (err) => {
      if (ws !== this.#ws) return;
      if (!/^(NOAUTH|WRONGPASS|NOPERM)$/.test(err.code)) return this.#lost(0, err.message);
      this.#cut();
      this.#give(err, "locked");
    };
    try {
      const auth = typeof this.#o.auth === "function" ? await this.#o.auth() : this.#o.auth;
      if (ws !== this.#ws) return;
      this.#send({ op: "hello", fields: { auth, name: this.#o.name || undefined }, renewed: true, done: (r) => this.#welcome(r), fail });
    } catch (err) {
      fail(err);
    }
  }

  #welcome(session) {
    clearTimeout(this.#timers.open);
    this.#upSince = performance.now();
    this.#pause = null;
    this.#tokens = { left: Infinity, at: this.#upSince };
    this.session = session;
    this.state = "up";
    const consumers = Array.from(this.#consumers, ([queue, c]) => this.#consume(queue, c));
    this.#queue.unshift(...Array.from(this.#topics.values(), (t) => this.#sub(t)), ...consumers);
    this.#set("up", session);
    this.#pump();
    this.#watch();
  }

  /** lost: the connection is gone, or as good as gone. */
  #lost(code, reason) {
    if (this.#upSince && performance.now() - this.#upSince > 10000) this.#attempt = 0;
    this.#cut();
    if (code === 1008) return this.#give(new ByorError("CLOSED", reason || "the server does not want us"), "locked");
    // Full jitter: anywhere below a growing limit, so that not all come back at once. The server may know better.
    const least = { 1013: 1000, 4003: 1000, 4029: 1000 }[code] ?? 0; // busy, killed, too fast
    const [min, max] = this.#pause ?? [least, least + Math.min(this.#o.retryMaxMs, 500 * 2 ** this.#attempt)];
    const retryMs = Math.round(min + Math.random() * (max - min));
    this.#attempt = Math.min(this.#attempt + 1, 20);
    this.#timers.retry = setTimeout(() => this.#open(), retryMs);
    this.#set("down", { code, reason, retryMs });
  }

  /** cut lets go of the socket. What may be asked again is kept; the fate of the rest is unknown. */
  #cut() {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#timers = {};
    this.#probing = false;
    this.#upSince = 0;
    this.#ws?.close(1000);
    this.#ws = null;
    this.state = "connecting";
    const sent = [...this.#awaited.values()];
    this.#awaited.clear();
    this.#queue = sent.filter((r) => r.harmless).concat(this.#queue).filter((r) => !r.renewed);
    for (const c of this.#consumers.values()) c._forget(); // the server gives those jobs to somebody else
    for (const r of sent) {
      if (r.harmless || r.renewed) continue;
      r.fail(new ByorError("UNKNOWN", `the connection was lost before the answer to ${r.op} came: it may have happened or not`));
    }
  }

  /** give up: there is no connection, and there will be none until somebody says so. */
  #give(error, state) {
    this.#lock = error;
    for (const r of this.#queue.splice(0)) clearTimeout(r.timer), r.fail?.(error);
    this.#set(state, { error });
  }

  #set(state, detail = {}) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { ...detail, state } }));
  }

  /** listen for what may mean that the network is back, or that somebody looks at the page again. */
  #listen(how) {
    for (const type of ["online", "pageshow"]) globalThis[how]?.(type, this.#wake);
    for (const type of ["visibilitychange", "resume"]) globalThis.document?.[how](type, this.#wake);
  }

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
      const r = { op, fields: fields(), done: (v) => resolve(result(v)), fail: reject, timer: 0 };
      const { queueMax, queueTimeoutMs } = this.#o;
      if (this.#lock) return reject(this.#lock);
      if (this.#queue.length >= queueMax) return reject(new ByorError("OFFLINE", `${queueMax} calls wait already; this one was not sent`, true));
      r.timer = setTimeout(() => {
        this.#queue = this.#queue.filter((q) => q !== r);
        reject(new ByorError("OFFLINE", `the call could not be sent within ${queueTimeoutMs / 1000} s, and was not`, true));
      }, queueTimeoutMs);
      this.#push(r);
    });
  }

  #push(r) { this.#queue.push(r), this.#pump(); }

  /** pump sends what waits, no faster than the server allows, and no more than it answers. */
  #pump() {
    while (this.state === "up" && this.#queue.length && this.#awaited.size < 1000) {
      const { opsPerSecond: rate, opsBurst: burst } = this.session.limits;
      const now = performance.now(), earned = ((now - this.#tokens.at) / 1000) * 0.95 * rate;
      const left = rate ? Math.min(Math.max(1, 0.75 * burst), this.#tokens.left + earned) : Infinity;
      this.#tokens = { left: left < 1 ? left : left - 1, at: now };
      if (left < 1) {
        clearTimeout(this.#timers.pump);
        this.#timers.pump = setTimeout(() => this.#pump(), ((1 - left) / rate) * 1100 + 1);
        return;
      }
      this.#send(this.#queue.shift());
    }
  }

  #send(r) {
    clearTimeout(r.timer);
    r.id = ++this.#id;
    const text = JSON.stringify({ id: r.id, op: r.op, ...r.fields });
    const most = this.session?.limits.message ?? Infinity;
    if (3 * text.length > most && new TextEncoder().encode(text).length > most) {
      return r.fail?.(new ByorError("TOOBIG", `a message may have ${most} bytes; this one was not sent`));
    }
    this.#awaited.set(r.id, r);
    this.#ws.send(text);
  }

  #hear(m) {
    if (m.push) return this.#pushed(m);
    const r = this.#awaited.get(m.id);
    if (!this.#awaited.delete(m.id)) return;
    this.#pump();
    if (!m.error) return r.done?.(m.result);
    const { code, message, retry } = m.error;
    if (code !== "RATE" || r.op === "hello") return r.fail?.(new ByorError(code, message, retry));
    this.#tokens = { left: -0.5 * this.session.limits.opsPerSecond, at: performance.now() }; // half a second's rest
    const later = this.#queue.findIndex((q) => !(q.id < r.id)); // it was not executed, and goes before those
    this.#queue.splice(later < 0 ? this.#queue.length : later, 0, r);
    this.#pump();
  }

  #pushed(m) {
    const topic = this.#topics.get(m.push === "pmessage" ? "p" + m.pattern : "c" + m.channel);
    const { pattern, entry, queue, fields, tries } = m;
    if (m.push === "message" || m.push === "pmessage") {
      if (!topic?.answer) return; // of a subscription that has ended
      const message = { channel: decode(m.channel), ...(pattern && { pattern }), data: decode(m.data), ...(entry && { entry }) };
      if (entry && !pattern) topic.since = entry;
      for (const sub of [...topic.subs]) sub._message(message);
    } else if (m.push === "presence") {
      if (topic?.answer) this.#present(topic, m);
    } else if (m.push === "job") {
      const ack = () => new Promise((done, fail) => {
        if (this.#lock) return fail(this.#lock);
        this.#push({ op: "ack", fields: { queue, entries: [entry] }, done, fail, harmless: true });
      });
      this.#consumers.get(queue)?._put({ queue, entry, data: decode(m.data), ...(fields && { fields: decode(fields) }), tries, ack });
    } else {
      if (m.push === "goodbye") this.#pause = m.reconnectMs;
      this.dispatchEvent(new CustomEvent(m.push === "goodbye" ? "goodbye" : "push", { detail: m }));
    }
  }

  // From here on: subscriptions and consumers.

  /** sub is the request that subscribes to a topic: from where we were, if there is a history and we have been there. */
  #sub(t) {
    const fields = t.pattern ? { patterns: [t.name] } : { channels: [t.name] };
    const plain = t.pattern || t.plain === this.session;
    const resumes = t.since !== null && !plain;
    if ([...t.subs].some((s) => s._options.presence)) fields.presence = true;
    if (resumes) fields.since = { [t.name]: t.since };
    else if (!plain) fields.last = t.last;
    const done = (r) => {
      const recovered = resumes && r.recovered === true;
      const newest = r.last?.[t.name] ?? null; // of the history, null without one
      t.answer = r;
      // Messages move since on. Until there is one, it is the newest; but not if the last ones are still to come.
      if (!recovered) t.since = fields.last && newest !== "0-0" ? null : newest;
      if (r.presence) this.#present(t, r.presence[t.name]);
      for (const s of t.subs) s._confirmed(r, recovered);
    };
    const no = (err) => {
      if (err.code === "NOPERM" && !plain) { // perhaps it is only the past that this user may not see
        t.plain = this.session;
        return this.#push(this.#sub(t));
      }
      for (const s of t.subs) this.#leave(t.key, s, err);
    };
    return { op: "sub", fields, renewed: true, done, fail: this.#retry(t.key, () => t.subs.size && this.#sub(t), no) };
  }

  /** retry makes a function that asks again a little later, if the error says that it is worth it. */
  #retry(key, again, no) {
    return (err) => (err.retry ? (this.#timers[key] = setTimeout(() => again() && this.#push(again()), 1000)) : no(err));
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
    const known = members ?? (join && t.here?.members);
    if (join && !known) { // so few again that they have names, and we do not know all
      return this.#push({ op: "presence", fields: { channels: [t.name] }, renewed: true, done: (r) => this.#present(t, r[t.name]) });
    }
    const before = t.here?.members ?? new Set(), now = known ? new Set(known) : null;
    for (const user of join ?? []) now.add(user);
    for (const user of leave ?? []) now.delete(user);
    const come = [...(now ?? [])].filter((user) => !before.has(user)), gone = now ? [...before].filter((user) => !now.has(user)) : [];
    t.here = { users, members: now };
    if (join && come.length + gone.length === 0) return; // the snapshot has told it already
    for (const s of t.subs) s._present({ ...t.here, join: come, leave: gone });
  }

  #consume(queue, c) {
    const { policy = "roundrobin", prefetch = 10 } = c._options;
    const fail = this.#retry("q" + queue, () => !c.ended && this.#consume(queue, c), (err) => c._leave(err));
    return { op: "consume", fields: { queue, policy, prefetch }, renewed: true, done: (r) => c._begun(r), fail };
  }
}

/** Opens a connection and returns its client at once. @param {Options} [options] @returns {Client} */
function connect(options = {}) { return new Client(options); }

export { connect, ByorError };
