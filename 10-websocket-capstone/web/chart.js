// A chart of what was measured in the last ten minutes: with a scale, and the value under the pointer. The arrow
// keys move along it, too.

import { el } from "./dom.js";

export const spanMs = 10 * 60_000; // what is kept
const leastMs = 60_000; // what is shown at least
const gapMs = 15_000; // nothing was measured in between: the line is broken

// niceTop returns a round figure at or above v: 1, 2 or 5 with zeros behind it, and then a unit. A unit is step
// times the one before: 1024 for bytes.
export function niceTop(v, step = 1000) {
  if (!(v > 0)) return 1;
  let unit = 1;
  while (v > unit * step) unit *= step;
  const power = 10 ** Math.floor(Math.log10(v / unit));
  const top = [1, 2, 5, 10].find((m) => m * power * unit >= v * 0.999999) * power;
  return (step === 1024 && top >= 1000 ? step : top) * unit;
}

const clock = (at) => new Date(at).toLocaleTimeString("en-GB");
const back = (ms) => (ms < 120_000 ? `${Math.round(ms / 1000)} s ago` : `${Math.round(ms / 60_000)} min ago`);

export class Chart {
  #points = []; // {at: Unix ms, v}
  #at = null; // the index of the point under the pointer

  // figure gets the drawing. name and format(v) say what it shows.
  constructor(figure, { name, colour, format, step }) {
    Object.assign(this, { name, colour, format, step });
    this.now = el("strong", "", "–");
    this.canvas = el("canvas", "");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", name + ": nothing measured yet");
    this.tip = el("span", "tip", "");
    this.tip.setAttribute("role", "status");
    this.top = el("span", "scale top", "");
    this.left = el("span", "", "");
    const plot = el("div", "plot", this.canvas, this.top, this.tip);
    figure.append(el("figcaption", "", name), this.now, plot, el("div", "scale times", this.left, el("span", "", "now")));
    this.canvas.onpointermove = this.canvas.onpointerdown = (e) => this.#point(e.offsetX);
    this.canvas.onpointerleave = this.canvas.onblur = () => this.#look(null);
    this.canvas.onkeydown = (e) => this.#key(e);
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => this.draw());
  }

  // points are what is to be kept when the page is loaded anew.
  get points() {
    return this.#points;
  }

  restore(points) {
    this.#points = points.filter((p) => Date.now() - p.at < spanMs);
  }

  add(v, at = Date.now()) {
    this.#points.push({ at, v });
    while (at - this.#points[0].at > spanMs) {
      this.#points.shift();
      if (this.#at !== null) this.#at = Math.max(0, this.#at - 1);
    }
    this.now.textContent = this.format(v);
    this.draw();
    this.#describe();
  }

  #describe() {
    const all = this.#points.map((p) => p.v);
    this.canvas.setAttribute("aria-label", `${this.name}: now ${this.format(all.at(-1))}, between ${this.format(Math.min(...all))} and ` +
      `${this.format(Math.max(...all))} since ${clock(this.#points[0].at)}. Arrow keys show single values.`);
  }

  // shown returns the span of time on the chart: what there is, but a minute at least.
  #shown() {
    const end = this.#points.at(-1).at;
    return { end, ms: Math.max(leastMs, Math.min(spanMs, end - this.#points[0].at)) };
  }

  #x(at, width) {
    const { end, ms } = this.#shown();
    return width - ((end - at) / ms) * width;
  }

  #point(x) {
    if (!this.#points.length) return;
    const width = this.canvas.clientWidth;
    let best = 0;
    this.#points.forEach((p, i) => { if (Math.abs(this.#x(p.at, width) - x) < Math.abs(this.#x(this.#points[best].at, width) - x)) best = i; });
    this.#look(best);
  }

  #key(e) {
    const last = this.#points.length - 1;
    const to = { ArrowLeft: (this.#at ?? last + 1) - 1, ArrowRight: (this.#at ?? last) + 1, Home: 0, End: last }[e.key];
    if (to === undefined || last < 0) return;
    e.preventDefault();
    this.#look(Math.min(last, Math.max(0, to)));
  }

  #look(index) {
    this.#at = index;
    this.tip.textContent = index === null ? "" : `${clock(this.#points[index].at)} · ${this.format(this.#points[index].v)}`;
    this.draw();
  }

  draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const [w, h] = [canvas.clientWidth, canvas.clientHeight];
    if (!this.#points.length || !w) return;
    canvas.width = w * ratio;
    canvas.height = h * ratio;
    const c = canvas.getContext("2d");
    c.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const colour = style.getPropertyValue(this.colour).trim();
    const top = niceTop(Math.max(...this.#points.map((p) => p.v)), this.step);
    this.top.textContent = this.format(top);
    this.left.textContent = back(this.#shown().ms);
    const y = (v) => h - 1 - (v / top) * (h - 3);
    this.#lines(c, w, h, style.getPropertyValue("--line").trim());
    this.#curve(c, w, h, y, colour);
    if (this.#at === null) return;
    const p = this.#points[this.#at];
    const x = this.#x(p.at, w);
    c.fillStyle = c.strokeStyle = style.getPropertyValue("--ink").trim();
    c.lineWidth = 1;
    c.strokeRect(Math.round(x) - 0.5, 0, 0, h);
    c.beginPath();
    c.arc(x, y(p.v), 3, 0, 7);
    c.fill();
    this.tip.style.left = Math.max(0, Math.min(w - this.tip.offsetWidth, x - this.tip.offsetWidth / 2)) + "px";
  }

  // lines draws the scale: the top, the middle, the bottom.
  #lines(c, w, h, colour) {
    c.strokeStyle = colour;
    c.lineWidth = 1;
    for (const y of [0.5, Math.round(h / 2) + 0.5, h - 0.5]) {
      c.beginPath();
      c.moveTo(0, y);
      c.lineTo(w, y);
      c.stroke();
    }
  }

  #curve(c, w, h, y, colour) {
    const fade = c.createLinearGradient(0, 0, 0, h);
    fade.addColorStop(0, colour + "44");
    fade.addColorStop(1, colour + "08");
    const draw = (run) => {
      const path = new Path2D();
      run.forEach((p, i) => (i ? path.lineTo(this.#x(p.at, w), y(p.v)) : path.moveTo(this.#x(p.at, w), y(p.v))));
      const area = new Path2D(path);
      area.lineTo(this.#x(run.at(-1).at, w), h);
      area.lineTo(this.#x(run[0].at, w), h);
      c.fillStyle = fade;
      c.fill(area);
      c.strokeStyle = colour;
      c.lineWidth = 1.6;
      c.lineJoin = "round";
      c.stroke(path);
    };
    let run = [];
    for (const p of this.#points) {
      if (run.length && p.at - run.at(-1).at > gapMs) {
        draw(run);
        run = [];
      }
      run.push(p);
    }
    draw(run);
  }
}
