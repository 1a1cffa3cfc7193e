// The console speaks RESP itself, over a socket of its own. Under each command it shows the very bytes that
// went over the wire.

import { binary, bytesOf, pieces, plain } from "./bytes.js";
import { startCompletion } from "./complete.js";
import { Docs } from "./docs.js";
import { $, el } from "./dom.js";
import { Recall } from "./recall.js";
import { splitArgs, encodeCommand, parse, concat } from "./resp.js";

export function startConsole(link, who) {
  const screen = $("screen");
  let ws = null;
  let opening = null; // resolves when ws is open
  let rest = new Uint8Array();
  let waiting = []; // entries whose reply is to come

  const scroll = () => (screen.scrollTop = screen.scrollHeight);
  const trim = () => { while (screen.childElementCount > 300) screen.firstElementChild.remove(); };

  function open() {
    ws = new WebSocket(link.url, "byor.resp.v1");
    ws.binaryType = "arraybuffer";
    rest = new Uint8Array();
    const hello = ["HELLO", "3"];
    if (who.auth) hello.push("AUTH", who.auth.user || "default", who.auth.pass);
    hello.push("SETNAME", "console");
    waiting = [null]; // nobody wants to see that reply
    const first = encodeCommand(hello.map(bytesOf));
    const mine = ws;
    ws.onmessage = (e) => hear(new Uint8Array(e.data));
    ws.onclose = (e) => {
      if (mine !== ws) return;
      ws = opening = null;
      for (const entry of waiting) if (entry) entry.append(el("pre", "t-err", `closed ${e.code} ${e.reason}`));
      waiting = [];
    };
    return new Promise((resolve, reject) => {
      mine.onopen = () => { mine.send(first); resolve(); };
      mine.onerror = () => reject(new Error("cannot connect"));
    });
  }

  function hear(bytes) {
    rest = concat([rest, bytes]);
    let at = 0;
    for (let r; at < rest.length && (r = parse(rest, at)); at = r.end) {
      const raw = rest.slice(at, r.end);
      const kind = r.v.type === ">" ? plain(r.v.value[0].value) : "";
      if (r.v.type === ">" && !/^[ps]?(un)?subscribe$/.test(kind)) {
        screen.append(answer(el("div", "entry"), raw, r.v));
      } else {
        const entry = r.v.type === ">" ? waiting[0] : waiting.shift();
        if (r.v.type === ">" && waiting[0] && --waiting[0].confirmations <= 0) waiting.shift();
        if (entry) answer(entry, raw, r.v);
        if (entry === undefined) screen.append(answer(el("div", "entry"), raw, r.v)); // MONITOR goes on and on
      }
    }
    rest = rest.slice(at);
    trim();
    scroll();
  }

  function answer(entry, raw, v) {
    if (entry.sentAt) {
      entry.firstChild.append(el("span", "took", (performance.now() - entry.sentAt).toFixed(1) + " ms"));
      entry.sentAt = 0;
    }
    entry.append(wire("← ", raw));
    const pre = el("pre");
    pre.append(...typed(v, ""));
    entry.append(pre);
    const why = v.type === "-" ? advice(v.value, entry.words ?? []) : null;
    if (why) entry.append(why);
    return entry;
  }

  async function run(line) {
    const entry = el("div", "entry", el("div", "typed", line));
    screen.append(entry);
    const args = splitArgs(line);
    entry.words = args?.map(plain);
    if (!args) return entry.append(el("pre", "t-err", "Invalid argument(s): a quote is not closed"));
    try {
      await (opening ??= open());
      const bytes = encodeCommand(args);
      entry.append(wire("→ ", bytes));
      entry.sentAt = performance.now();
      // A subscription is confirmed once for each channel.
      entry.confirmations = /^[ps]?(un)?subscribe$/i.test(plain(args[0])) ? Math.max(1, args.length - 1) : 1;
      waiting.push(entry);
      ws.send(bytes);
    } catch (err) {
      entry.append(el("pre", "t-err", err.message));
    }
    trim();
    scroll();
  }

  const recall = new Recall();
  const completion = startCompletion(new Docs(link));

  // say runs a line as if it had been typed.
  function say(line) {
    recall.add(line, splitArgs(line)?.map(plain) ?? null);
    scroll();
    return run(line).then(scroll);
  }

  $("prompt").onsubmit = (e) => {
    e.preventDefault();
    const line = $("line").value.trim();
    if (!line) return;
    $("line").value = "";
    completion.look();
    say(line);
  };
  $("line").addEventListener("keydown", (e) => {
    if (e.key !== "ArrowUp" && e.key !== "ArrowDown") return;
    e.preventDefault();
    $("line").value = recall.move(e.key === "ArrowUp" ? -1 : 1, $("line").value);
    completion.look();
  });
  $("clear").onclick = () => screen.replaceChildren();
  $("bytes").onchange = () => screen.classList.toggle("no-bytes", !$("bytes").checked);
  screen.append(el("p", "empty", "Type a command. Under it stand the bytes that were sent and received. Tab completes, the arrow keys bring back what you typed before."));
  return { say };
}

// wire shows bytes with their line ends.
function wire(arrow, bytes) {
  const pre = el("pre", "wire", arrow);
  for (const p of pieces(bytes.subarray(0, 600))) {
    if (p.hex) pre.append(el("span", "byte", p.hex));
    else p.text.split(/(\r\n|\n|\r)/).forEach((part) => pre.append(/[\r\n]/.test(part) ? el("span", "crlf", escapes(part)) : part));
  }
  if (bytes.length > 600) pre.append(` … ${bytes.length} bytes`);
  return pre;
}

// advice says what to do about an error that the gateway made and Redis does not know.
function advice(error, words) {
  if (!/denied over WebSocket/.test(error)) return null;
  const name = words.slice(0, /^(config|client|acl|debug|script|function|slowlog|latency|cluster|module)$/i.test(words[0]) ? 2 : 1).join("|").toLowerCase();
  return el("p", "hint", "This command rules the server, and a web page may only use it. Say it in redis-cli, or start the server with ",
    el("code", "", `--ws-allow-commands '${name}'`), ".");
}

// typed renders a value as redis-cli does, in colours.
function typed(v, indent) {
  const line = (cls, t) => [el("span", cls, t), "\n"];
  switch (v.type) {
    case "+": return line("t-status", v.value);
    case "-": return line("t-err", "(error) " + v.value);
    case "!": return line("t-err", "(error) " + plain(v.value));
    case ":": return line("t-int", "(integer) " + v.value);
    case "(": return line("t-int", "(big number) " + v.value);
    case ",": return line("t-int", "(double) " + v.value);
    case "#": return line("t-int", v.value === "t" ? "(true)" : "(false)");
    case "_": return line("t-nil", "(nil)");
    case "=": return [el("span", "t-str", ...readable(v.value.subarray(4))), "\n"];
    case "$": return [el("span", "t-str", ...quoted(v.value)), "\n"];
  }
  if (v.value.length === 0) return line("t-nil", { "%": "(empty map)", "~": "(empty set)" }[v.type] ?? "(empty array)");
  const pairs = v.type === "%";
  const out = [];
  const count = pairs ? v.value.length / 2 : v.value.length;
  const width = String(count).length;
  for (let i = 0; i < count; i++) {
    const label = String(i + 1).padStart(width) + ({ "%": "# ", "~": "~ ", ">": "> " }[v.type] ?? ") ");
    out.push(el("span", "t-num", (i > 0 ? indent : "") + label));
    const deeper = indent + " ".repeat(label.length);
    if (pairs) {
      const key = typed(v.value[2 * i], deeper);
      key[key.length - 1] = " => ";
      out.push(...key, ...typed(v.value[2 * i + 1], deeper));
    } else {
      out.push(...typed(v.value[i], deeper));
    }
  }
  return out;
}

// readable returns nodes: text as it is, and bytes that are no text as \xHH.
const readable = (bytes, change = (t) => t) => pieces(bytes).map((p) => (p.hex ? el("span", "byte", p.hex) : change(p.text)));

const escapes = (t) => t.replace(/["\\]/g, "\\$&").replace(/\n/g, "\\n").replace(/\r/g, "\\r").replace(/\t/g, "\\t");

// quoted puts a value in quotes; a text of several lines stands as it is.
function quoted(bytes) {
  if (bytes.includes(10) && !bytes.includes(13) && !binary(bytes)) return readable(bytes);
  return ['"', ...readable(bytes, escapes), '"'];
}
