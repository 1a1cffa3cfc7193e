// The key browser: it finds keys, page by page, and shows the one that is chosen.

import { plain, same } from "./bytes.js";
import { $, button, count, el, plural, show } from "./dom.js";
import { Database } from "./db.js";
import { KeyScan } from "./scan.js";
import { ValueView } from "./value.js";

const page = 40; // keys
const most = 4000; // keys in the list
const few = 2000; // keys that a refresh may look at
const pauseMs = 1500; // between refreshes

export function startKeys(link) {
  const db = new Database(link);
  let scan = null;
  let chosen = null; // the key whose value is shown
  let scanning = false;
  const value = new ValueView(db, (key) => {
    for (const item of $("list").children) if (item.key !== undefined && same(item.key, key)) item.remove();
    chosen = null;
  });

  function fail(err) {
    $("scan-says").textContent = err.message;
    $("scan-says").classList.add("t-err");
  }

  // find begins a search. list is where its keys appear.
  async function find(list = $("list"), limit = Infinity) {
    scan?.stop();
    scan = new KeyScan(db, $("match").value.trim(), $("type").value);
    list.replaceChildren();
    return more(list, limit);
  }

  // more adds a page to the list. It returns false when another search has begun meanwhile.
  async function more(list = $("list"), limit = Infinity) {
    const mine = scan;
    scanning = true;
    $("stop").hidden = false;
    $("more").disabled = true;
    $("scan-says").classList.remove("t-err");
    try {
      const size = await db.cmd("DBSIZE");
      await mine.next(page, async (keys) => {
        const kinds = mine.type ? keys.map(() => mine.type) : await Promise.all(keys.map((k) => db.cmd("TYPE", k)));
        if (mine !== scan) return;
        keys.forEach((key, i) => { if (kinds[i] !== "none") list.append(item(key, kinds[i])); }); // none: expired meanwhile
        tell(mine, list, size);
      }, limit);
    } catch (err) {
      if (mine === scan) fail(err);
    }
    if (mine !== scan) return false;
    scanning = false;
    $("stop").hidden = true;
    $("more").disabled = !mine.more || list.childElementCount >= most;
    if (!list.childElementCount) list.append(el("li", "empty", mine.stopped ? "Nothing found so far." : "No keys."));
    return true;
  }

  function tell(mine, list, size) {
    const n = list.childElementCount;
    const looked = Math.min(mine.scanned, size);
    const bar = $("scan-bar");
    bar.max = size || 1;
    bar.value = mine.done ? bar.max : looked;
    bar.hidden = false;
    let where = mine.done ? `all ${count(size)} looked at` : `about ${count(looked)} of ${count(size)} looked at`;
    if (n >= most) where += "; a narrower pattern shows the rest";
    $("scan-says").textContent = `${plural(n, "key")} found, ${where}`;
  }

  function item(key, kind) {
    const open = button("", "", "", () => choose(key, kind, entry));
    open.append(el("span", "", ...show(key)), el("span", "kind", kind));
    open.title = plain(key);
    const entry = el("li", "", open);
    entry.key = key;
    mark(entry);
    return entry;
  }

  function mark(entry) {
    const on = chosen !== null && entry.key !== undefined && same(entry.key, chosen);
    entry.classList.toggle("on", on);
    if (on) entry.firstChild.setAttribute("aria-current", "true");
    else entry.firstChild.removeAttribute?.("aria-current");
  }

  function choose(key, kind) {
    chosen = key;
    for (const other of $("list").children) mark(other);
    value.look(key, kind);
  }

  function restart() {
    chosen = null;
    value.close();
    return find();
  }

  // What is shown keeps up with the server: once something has changed there, but not while somebody writes,
  // not more often than every few seconds, and a list only if it was quickly made: what was stopped does not begin
  // again, and nothing searches through a million keys by itself.
  let last = { at: 0, changes: "" };
  async function refresh({ detail: { fields } }) {
    databases(fields);
    const changes = [fields.rdb_changes_since_last_save, fields.rdb_last_save_time, fields.expired_keys, fields.evicted_keys, fields.run_id].join();
    const now = performance.now();
    if ((changes === last.changes && !value.dying) || now - last.at < pauseMs || !$("auto").checked || scanning || document.hidden) return;
    last = { at: now, changes };
    if (!value.busy) await value.refresh();
    if (scan && !scan.stopped && scan.scanned <= few && $("list").childElementCount <= page) {
      const fresh = el("ul", "");
      const at = $("list").scrollTop;
      if (await find(fresh, few)) {
        const held = document.activeElement?.closest("#list li")?.key; // it keeps the focus
        $("list").replaceChildren(...fresh.childNodes);
        $("list").scrollTop = at;
        for (const item of $("list").children) if (held !== undefined && item.key !== undefined && same(item.key, held)) item.firstChild.focus({ preventScroll: true });
      }
    }
  }

  // databases fills the choice of databases, with their numbers of keys.
  function databases(fields) {
    const keys = (i) => /keys=(\d+)/.exec(fields["db" + i] ?? "")?.[1];
    const used = Object.keys(fields).filter((f) => /^db\d+$/.test(f)).map((f) => Number(f.slice(2)));
    const n = Math.max(16, db.index + 1, ...used.map((i) => i + 1));
    while ($("db").length < n) $("db").add(new Option("", String($("db").length)));
    Array.from($("db").options, (o, i) => {
      const label = `db ${i}` + (keys(i) ? ` · ${count(keys(i))}` : "");
      if (o.text !== label) o.text = label;
    });
    $("dbsize").textContent = `${plural(keys(db.index) ?? 0, "key")} in database ${db.index}`;
  }

  $("scan").onsubmit = (e) => {
    e.preventDefault();
    restart();
  };
  $("type").onchange = restart;
  $("db").onchange = () => {
    db.index = Number($("db").value);
    restart();
  };
  $("stop").onclick = () => scan.stop();
  $("more").onclick = () => more();
  link.addEventListener("info", (e) => refresh(e).catch(fail));
  link.addEventListener("state", ({ detail: { state, limits } }) => {
    if (state !== "up") return;
    value.messageLimit = limits.message;
    if (!$("list").querySelector("button")) restart();
  });
}
