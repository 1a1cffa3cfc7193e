// The key browser: SCAN, page by page, and a look at a value by its type.

import { $, el, text } from "./dom.js";

export function startKeys(link) {
  let cursor = "0";

  async function page(from) {
    const args = ["SCAN", from, "COUNT", "50"];
    if ($("match").value.trim()) args.push("MATCH", $("match").value.trim());
    if ($("type").value) args.push("TYPE", $("type").value);
    const found = [];
    // SCAN may return nothing and still not be at its end: go on for a while.
    for (let i = 0; i < 20 && found.length < 30; i++) {
      const [next, keys] = await link.cmd(...args);
      found.push(...keys);
      cursor = args[1] = text(next);
      if (cursor === "0") break;
    }
    const kinds = $("type").value ? found.map(() => $("type").value) : await Promise.all(found.map((k) => link.cmd("TYPE", k)));
    found.forEach((key, i) => {
      if (kinds[i] === "none") return; // expired meanwhile
      const open = el("button", "", el("span", "", text(key)), el("span", "kind", kinds[i]));
      const item = el("li", "", open);
      open.onclick = () => {
        $("list").querySelector(".on")?.classList.remove("on");
        item.classList.add("on");
        look(key, kinds[i]).catch(fail);
      };
      $("list").append(item);
    });
    $("more").disabled = cursor === "0";
    if (!$("list").childElementCount) $("list").append(el("li", "empty", "No keys."));
    $("dbsize").textContent = `${(await link.cmd("DBSIZE")).toLocaleString("en")} in this database`;
  }

  function fail(err) {
    $("value").replaceChildren(el("p", "empty t-err", err.message));
  }

  async function look(key, kind) {
    const reads = {
      string: () => link.cmd("GETRANGE", key, 0, 8191),
      list: () => link.cmd("LRANGE", key, 0, 99),
      hash: () => link.cmd("HSCAN", key, 0, "COUNT", 100),
      set: () => link.cmd("SSCAN", key, 0, "COUNT", 100),
      zset: () => link.cmd("ZRANGE", key, 0, 99, "WITHSCORES"),
      stream: () => link.cmd("XRANGE", key, "-", "+", "COUNT", 50),
    };
    const sizes = { string: "STRLEN", list: "LLEN", hash: "HLEN", set: "SCARD", zset: "ZCARD", stream: "XLEN" };
    if (!reads[kind]) return fail(new Error("no view of the type " + kind));
    const [value, size, ttl, encoding] = await Promise.all([
      reads[kind](), link.cmd(sizes[kind], key), link.cmd("PTTL", key), link.cmd("OBJECT", "ENCODING", key).catch(() => null),
    ]);
    const life = ttl >= 0 ? `expires in ${(ttl / 1000).toFixed(1)} s` : "does not expire";
    const meta = el("p", "meta", [kind, encoding && text(encoding) !== kind && text(encoding), `${size} ${kind === "string" ? "byte" : "element"}${size === 1 ? "" : "s"}`, life].filter(Boolean).join(" · "));
    $("value").replaceChildren(meta, view(kind, value));
  }

  function view(kind, value) {
    if (kind === "string") return el("pre", "", text(value));
    const table = el("table", "");
    const row = (a, b) => table.append(el("tr", "", el("td", "", a), el("td", "", b)));
    const pairs = (flat) => { for (let i = 0; i + 1 < flat.length; i += 2) row(text(flat[i]), text(flat[i + 1])); };
    if (kind === "list") value.forEach((v, i) => row(String(i), text(v)));
    if (kind === "hash") pairs(value[1]);
    if (kind === "set") value[1].forEach((v) => row("·", text(v)));
    if (kind === "zset") value.forEach((v) => (Array.isArray(v) ? row(text(v[1]), text(v[0])) : row("", text(v))));
    if (kind === "stream") {
      value.forEach(([id, fields]) => {
        const words = [];
        for (let i = 0; i + 1 < fields.length; i += 2) words.push(`${text(fields[i])}: ${text(fields[i + 1])}`);
        row(text(id), words.join(", "));
      });
    }
    return table;
  }

  $("scan").onsubmit = (e) => {
    e.preventDefault();
    $("list").replaceChildren();
    $("value").replaceChildren(el("p", "empty", "Choose a key to see its value."));
    page("0").catch(fail);
  };
  $("more").onclick = () => page(cursor).catch(fail);
  link.addEventListener("state", ({ detail: { state } }) => {
    if (state === "up" && !$("list").querySelector("button")) {
      $("list").replaceChildren();
      page("0").catch(fail);
    }
  });
}
