// The value of a key: page by page, with what can be changed about it.

import { binary, bytesOf, escaped, unescaped } from "./bytes.js";
import { $, button, count, el, field, plural, show, sure, text } from "./dom.js";
import { kinds } from "./kinds.js";

const cellLimit = 2000; // characters that a cell shows before it is asked for more

const lifeOf = (ms) => (ms < 0 ? "does not expire" : `expires in ${ms < 120000 ? (ms / 1000).toFixed(1) + " s" : count(Math.round(ms / 1000)) + " s"}`);

export class ValueView {
  #db;
  #key = null;
  #kind = "";
  #ways = [null]; // where the pages begin, from the first to the one shown
  #gone; // is told when the key is no more
  #said = ""; // why the last change was not made
  #asked = 0; // counts the looks; an answer to an old one is dropped
  messageLimit = 65536; // bytes
  dying = false; // the key has a TTL

  constructor(db, gone) {
    this.#db = db;
    this.#gone = gone;
  }

  // busy says that somebody is writing in it, so that it must not be drawn anew.
  get busy() {
    return Boolean($("value").querySelector(".editing, .danger")) || $("value").contains(document.activeElement) && document.activeElement.matches("input, textarea");
  }

  get open() {
    return this.#key !== null;
  }

  close(says = "Choose a key to see its value.") {
    this.#asked++;
    this.#key = null;
    this.dying = false;
    $("value").replaceChildren(el("p", "empty", says));
  }

  async look(key, kind) {
    this.#key = key;
    this.#kind = kind;
    this.#ways = [null];
    this.#said = "";
    await this.refresh();
  }

  // refresh reads the page that is shown once more.
  async refresh() {
    if (!this.open) return;
    const [asked, key, kind] = [++this.#asked, this.#key, kinds[this.#kind]];
    try {
      if (!kind) throw new Error("There is no view of the type " + this.#kind);
      const [size, ttl, encoding] = await Promise.all([
        this.#db.cmd(kind.size, key), this.#db.cmd("PTTL", key), this.#db.cmd("OBJECT", "ENCODING", key).catch(() => ""),
      ]);
      const page = ttl === -2 ? null : await kind.page(this.#db, key, size, this.#ways.at(-1));
      if (asked !== this.#asked) return;
      if (page === null) {
        this.close("The key is gone.");
        return this.#gone(key);
      }
      this.#draw(kind, page, size, ttl, encoding);
    } catch (err) {
      if (asked === this.#asked) $("value").replaceChildren(el("p", "empty t-err", err.message));
    }
  }

  #draw(kind, page, size, ttl, encoding) {
    this.dying = ttl >= 0;
    const scrolled = $("value").scrollTop;
    const facts = [this.#kind, encoding && encoding !== this.#kind && text(encoding), plural(size, kind.unit).replace("entrys", "entries"), lifeOf(ttl)];
    $("value").replaceChildren(
      el("p", "name", ...show(this.#key)),
      el("p", "meta", facts.filter(Boolean).join(" · ")),
      this.#actions(ttl),
      page.rows ? this.#table(kind, page.rows) : this.#string(kind, page, size),
      this.#pager(kind, page, size),
      kind.add ? this.#adder(kind) : "",
    );
    const says = el("p", "says t-err", this.#said);
    says.setAttribute("role", "alert");
    $("value").append(says);
    $("value").scrollTop = scrolled;
  }

  // act does something and shows the value again, or says why not.
  async #act(what) {
    const key = this.#key;
    this.#says("");
    try {
      await what();
      if (!this.busy) await this.refresh(); // somebody may have begun with the next one
    } catch (err) {
      if (key === this.#key) this.#says(err.message);
    }
  }

  // says shows an error until the next attempt, whatever is drawn anew meanwhile.
  #says(text) {
    this.#said = text;
    const p = $("value").querySelector(".says");
    if (!p) return;
    p.textContent = text;
    if (text) p.scrollIntoView({ block: "nearest" });
  }

  #actions(ttl) {
    const seconds = field("seconds", "", "short");
    seconds.inputMode = "numeric";
    seconds.setAttribute("aria-label", "Seconds until it expires");
    const form = el("form", "row actions", seconds, el("button", "", "Set TTL"));
    form.onsubmit = (e) => {
      e.preventDefault();
      seconds.blur();
      this.#act(() => {
        if (!/^[1-9]\d*$/.test(seconds.value.trim())) throw new Error("A TTL is a number of seconds, 1 or more.");
        return this.#db.cmd("EXPIRE", this.#key, seconds.value.trim());
      });
    };
    if (ttl >= 0) form.append(button("Keep", "", "Keep the key: remove its TTL", () => this.#act(() => this.#db.cmd("PERSIST", this.#key))));
    const remove = sure("Delete", "last", "Delete the key", () => {
      remove.classList.remove("danger");
      this.#act(() => this.#db.cmd("DEL", this.#key));
    });
    form.append(remove);
    return form;
  }

  #string(kind, page, size) {
    const whole = page.from === 0 && page.next === null;
    const pre = el("pre", "", ...show(page.text));
    if (size === 0) pre.append(el("span", "empty", "(empty)"));
    if (!whole) return el("div", "", pre, el("p", "hint", "A value of more than one page can be read here, and edited with SETRANGE and APPEND."));
    const edit = button("Edit", "small", "Edit the value", () => this.#edit(pre, kind, null, page.text, edit));
    return el("div", "", pre, edit);
  }

  #table(kind, rows) {
    const table = el("table", "", el("thead", "", el("tr", "", ...kind.columns.map((c) => el("th", "", c)), el("th", "", ""))));
    const body = el("tbody", "");
    for (const row of rows) {
      const cells = [el("td", "", ...show(row.name))];
      if ("value" in row) cells.push(this.#cell(row.value));
      if (row.fields) cells.push(el("td", "", ...this.#fields(row.fields)));
      const name = text(row.name);
      const tools = el("td", "tools");
      if (kind.set) tools.append(button("Edit", "small", "Edit " + name, (e) => this.#edit(cells[1], kind, row, row.value, e.currentTarget)));
      const remove = sure("×", "small", "Remove " + name, () => {
        remove.classList.remove("danger");
        this.#act(() => (kind.read ? this.#db.change(this.#key, kind.read(this.#key, row), row.value, kind.remove(this.#key, row)) : this.#db.cmd(...kind.remove(this.#key, row)[0])));
      });
      tools.append(remove);
      body.append(el("tr", "", ...cells, tools));
    }
    table.append(body);
    return table;
  }

  #fields(flat) {
    const out = [];
    for (let i = 0; i + 1 < flat.length; i += 2) out.push(i ? ", " : "", el("b", "", ...show(flat[i])), ": ", ...show(flat[i + 1]));
    return out;
  }

  #cell(value) {
    const all = typeof value === "string" || value instanceof Uint8Array ? value : text(value);
    if (all.length <= cellLimit) return el("td", "", ...show(all));
    const cell = el("td", "", ...show(all.slice(0, cellLimit)), " … ");
    cell.append(button(`all ${count(bytesOf(all).length)} bytes`, "small", "", () => cell.replaceChildren(...show(all))));
    return cell;
  }

  // edit puts a field in the place of a value. Bytes that are no text are written \xHH there, and a
  // backslash is \\ then.
  #edit(place, kind, row, value, opener) {
    const raw = binary(value);
    const area = el("textarea", "");
    area.value = raw ? escaped(value) : value;
    area.setAttribute("aria-label", "New value");
    area.rows = Math.min(10, area.value.split("\n").length + 1);
    const save = el("button", "primary", "Save");
    const form = el("form", "editing", area);
    if (raw) form.append(el("p", "hint", "Bytes are written \\xHH here, and a backslash is \\\\."));
    form.append(el("div", "row", save, button("Cancel", "", "", () => {
      form.remove();
      this.refresh();
    })));
    form.onsubmit = (e) => {
      e.preventDefault();
      const typed = raw ? unescaped(area.value) : area.value;
      this.#act(async () => {
        const size = bytesOf(typed).length;
        if (size * (typed instanceof Uint8Array ? 1.4 : 1.1) + 1000 > this.messageLimit) {
          throw new Error(`${count(size)} bytes are more than a message may have here. In a terminal: redis-cli -x SET … < file`);
        }
        await this.#db.change(this.#key, kind.read(this.#key, row), value, kind.set(this.#key, row, typed));
        form.remove();
      });
    };
    area.onkeydown = (e) => {
      if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) form.requestSubmit();
      if (e.key === "Escape") form.querySelector("button:last-child").click();
    };
    opener.hidden = true;
    place.replaceChildren(form);
    area.focus();
  }

  #pager(kind, page, size) {
    const at = this.#ways.length;
    if (at === 1 && page.next === null) return "";
    const go = (ways) => {
      this.#ways = ways;
      $("value").scrollTop = 0;
      this.refresh();
    };
    const first = button("First", "", "First page", () => go([null]));
    const back = button("Back", "", "Page before", () => go(this.#ways.slice(0, -1)));
    const next = button("Next", "", "Next page", () => go([...this.#ways, page.next]));
    first.disabled = back.disabled = at === 1;
    next.disabled = page.next === null;
    return el("div", "row pager", first, back, next, el("span", "hint", this.#where(kind, page, size, at)));
  }

  #where(kind, page, size, at) {
    if (!page.rows) return `bytes ${count(page.from)}–${count(page.from + bytesOf(page.text).length - 1)} of ${count(size)}`;
    const from = Number(this.#ways.at(-1) ?? 0);
    if (kind.read && /position|score/.test(kind.columns.join())) return `${count(from + 1)}–${count(from + page.rows.length)} of ${count(size)}`;
    return `page ${at}, ${count(page.rows.length)} of ${count(size)}`;
  }

  #adder(kind) {
    const inputs = kind.add.fields.map((f) => field(f));
    const form = el("form", "row adder", ...inputs, el("button", "", "Add"));
    form.onsubmit = (e) => {
      e.preventDefault();
      document.activeElement.blur();
      this.#act(() => {
        if (inputs.some((i, n) => n === 0 && i.value === "")) throw new Error("What is to be added?");
        return this.#db.cmd(...kind.add.command(this.#key, inputs.map((i) => i.value)));
      });
    };
    return form;
  }
}
