// KeyScan finds keys page by page. SCAN looks at a part of the keyspace at a time and may return nothing for
// most of the parts: one key among a million. So it goes on until a page is full, and says how far it is.

const slow = 20; // ms that a SCAN may take beyond the way there and back: the server does nothing else meanwhile
const most = 5000; // keys looked at in one go

export class KeyScan {
  #db;
  #options = [];
  #cursor = "0";
  #count = 100;
  #seen = new Set();
  #found = []; // found and not yet handed out
  #exact; // a key that may have just this name
  #way = Infinity; // ms that the way there and back takes
  scanned = 0; // keys looked at, roughly
  done = false;
  stopped = false;

  // what is a name, a part of one, or a pattern; "" finds all keys.
  constructor(db, what, type) {
    this.#db = db;
    const pattern = /[*?[\\]/.test(what);
    if (what) this.#options.push("MATCH", pattern ? what : `*${what}*`);
    if (type) this.#options.push("TYPE", type);
    this.type = type;
    this.#exact = what && !pattern ? what : null;
  }

  stop() {
    this.stopped = true;
  }

  // next hands up to want more keys to found, as it finds them: found(keys) is called after each look, also
  // with none. They are fewer when there are no more, when it was stopped, and when it has looked at limit keys.
  async next(want, found, limit = Infinity) {
    this.stopped = false;
    if (this.#exact !== null) await this.#byName();
    for (let left = want; ; ) {
      const keys = this.#found.splice(0, left);
      left -= keys.length;
      await found(keys);
      if (this.scanned >= limit) this.stopped = true;
      if (left === 0 || this.done || this.stopped) return;
      await this.#step(left);
    }
  }

  get more() {
    return !this.done || this.#found.length > 0;
  }

  // A name that somebody has typed in full is found at once.
  async #byName() {
    const kind = await this.#db.cmd("TYPE", this.#exact);
    if (kind !== "none" && (!this.type || kind === this.type)) this.#add(this.#exact);
    this.#exact = null;
  }

  async #step(want) {
    const before = this.#found.length;
    await this.#db.turn();
    const sent = performance.now();
    const [cursor, keys] = await this.#db.send("SCAN", this.#cursor, "COUNT", this.#count, ...this.#options);
    const took = performance.now() - sent;
    this.#way = Math.min(this.#way, took);
    keys.forEach((k) => this.#add(k));
    this.#cursor = cursor;
    this.done = cursor === "0";
    this.scanned += this.#count;
    const few = this.#found.length - before < want / 4; // most of what it looked at was something else
    if (took - this.#way > slow) this.#count = Math.max(100, this.#count >> 1);
    else if (few) this.#count = Math.min(most, this.#count * 2);
  }

  // SCAN may return a key twice.
  #add(key) {
    const id = typeof key === "string" ? "s" + key : "b" + Array.from(key).join();
    if (this.#seen.has(id)) return;
    this.#seen.add(id);
    this.#found.push(key);
  }
}
