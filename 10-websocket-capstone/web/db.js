// Database is the key browser's way to the server: one database, at a pace that leaves room for others.

import { same } from "./bytes.js";
import { Pace } from "./pace.js";

export class Database {
  #link;
  #pace = new Pace();
  #selected = 0; // what the connection has selected
  #life = 0; // counts the connections
  index = 0; // the database that is looked at

  constructor(link) {
    this.#link = link;
    link.addEventListener("state", ({ detail: { state, limits } }) => {
      this.#selected = 0;
      this.#life++;
      if (state === "up") this.#pace.limits(limits);
    });
  }

  turn(n) {
    return this.#pace.turn(n);
  }

  // send runs a command now or not at all. What waited for another connection would find another database there.
  async send(...args) {
    if (this.#link.state !== "up") throw new Error("There is no connection.");
    if (this.#selected !== this.index) {
      this.#selected = this.index;
      this.#link.call("SELECT", this.index).catch(() => (this.#selected = -1));
    }
    return this.#link.call(...args);
  }

  // cmd waits for its turn and runs a command.
  async cmd(...args) {
    await this.turn();
    return this.send(...args);
  }

  // change runs commands as one unit, unless what the command read returns is not shown any more. Nobody's
  // change of the meantime is overwritten.
  async change(key, read, shown, commands) {
    await this.turn(commands.length + 4);
    const life = this.#life;
    await this.send("WATCH", key);
    try {
      const now = await this.send(...read);
      if (!same(now, shown)) throw new Error("It has changed meanwhile. Look at it again first.");
      if (this.#life !== life) throw new Error("The connection was lost. Try it again.");
    } catch (err) {
      this.send("UNWATCH").catch(() => {});
      throw err;
    }
    // They are sent in one go, so that no command of another panel gets between them.
    const replies = await Promise.allSettled([["MULTI"], ...commands, ["EXEC"]].map((c) => this.send(...c)));
    const failed = replies.find((r) => r.status === "rejected");
    if (failed) throw failed.reason;
    const results = replies.at(-1).value;
    if (results === null) throw new Error("It has changed meanwhile. Look at it again first.");
    const bad = results.find((r) => r instanceof Error);
    if (bad) throw bad;
    return results;
  }
}
