// The gateway allows a client so many operations a second, and some more at once. Who makes many of them, as
// the key browser does, waits for its turn here, so that the rest of the page still gets through.

export class Pace {
  #rate = 70;
  #burst = 140;
  #tokens = 140;
  #last = performance.now();
  #queue = Promise.resolve();

  // limits takes over what the server said in its answer to hello. We take 70 % of it.
  limits({ opsPerSecond, opsBurst } = {}) {
    if (opsPerSecond === undefined) return;
    this.#rate = opsPerSecond > 0 ? opsPerSecond * 0.7 : Infinity;
    this.#burst = Math.max(1, opsBurst * 0.7);
    this.#tokens = this.#burst;
  }

  // turn resolves when n operations may be made.
  turn(n = 1) {
    return (this.#queue = this.#queue.then(() => this.#take(n)));
  }

  async #take(n) {
    if (this.#rate === Infinity) return;
    const now = performance.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#last) / 1000) * this.#rate);
    this.#last = now;
    this.#tokens -= n;
    if (this.#tokens < 0) await new Promise((done) => setTimeout(done, (-this.#tokens / this.#rate) * 1000));
  }
}
