// What the server says about its own commands: COMMAND DOCS and COMMAND INFO, asked once.

const list = (v) => (v instanceof Set ? [...v] : v ?? []);

export class Docs {
  #link;
  #asked = null;
  #commands = new Map(); // "config set" → {name, summary, since, group, arguments, subs, …}
  #facts = new Map(); // name → Promise of what COMMAND INFO says

  constructor(link) {
    this.#link = link;
  }

  // load asks for the docs, the first time.
  load() {
    this.#asked ??= this.#link.call("COMMAND", "DOCS").then(
      (docs) => this.#take(docs, ""),
      (err) => { if (err.code !== "NOPERM") this.#asked = null; }, // it is asked again another time
    );
    return this.#asked;
  }

  #take(docs, above) {
    for (const [name, doc] of docs) {
      const full = (above + name).replace("|", " ");
      const subs = doc.get("subcommands");
      this.#commands.set(full, {
        name: full, summary: doc.get("summary") ?? "", since: doc.get("since"), group: doc.get("group"),
        complexity: doc.get("complexity"), args: doc.get("arguments") ?? [], subs: subs ? [...subs.keys()].map((s) => s.split("|").at(-1)) : [],
      });
      if (subs) this.#take(subs, name.includes("|") ? above : "");
    }
  }

  // find returns the command that a line begins with, by its first words in lower case, null if there is none.
  find(words) {
    return this.#commands.get(words.slice(0, 2).join(" ")) ?? this.#commands.get(words[0]) ?? null;
  }

  // complete returns what the last of words may become: a command, a subcommand or an option.
  complete(words) {
    const last = words.at(-1);
    const starts = (w) => w.startsWith(last) && w !== last;
    if (words.length === 1) return [...this.#commands.keys()].filter((n) => !n.includes(" ") && starts(n)).sort();
    const command = this.#commands.get(words[0]);
    if (command?.subs.length) {
      if (words.length === 2) return command.subs.filter(starts).sort();
    }
    if (last === "") return [];
    const found = this.find(words);
    return found ? tokens(found.args).map((t) => t.toLowerCase()).filter((t) => starts(t) && !words.includes(t)) : [];
  }

  // facts returns in words what COMMAND INFO says of a command: whether it writes, may block, rules the server.
  facts(command) {
    const name = command.name.replace(" ", "|");
    if (!this.#facts.has(name)) {
      const asked = this.#link.call("COMMAND", "INFO", name).then(([info]) => (info ? inWords(list(info[2]), list(info[6])) : []));
      asked.catch(() => this.#facts.delete(name));
      this.#facts.set(name, asked);
    }
    return this.#facts.get(name);
  }
}

function inWords(flags, categories) {
  const words = { write: "writes", readonly: "reads", blocking: "may block", pubsub: "pub/sub", admin: "rules the server" };
  const out = flags.filter((f) => words[f]).map((f) => words[f]);
  if (categories.includes("@slow") && (flags.includes("readonly") || flags.includes("write"))) out.push("may take longer with more data");
  return out;
}

// tokens are the words that may stand literally among the arguments.
function tokens(args) {
  return args.flatMap((a) => [...(a.get("token") ? [a.get("token")] : []), ...tokens(a.get("arguments") ?? [])]).filter((t) => /^[A-Z]/.test(t));
}

// syntax writes arguments as Redis's documentation does: key [NX | XX] [EX seconds].
export function syntax(args, between = " ") {
  return args.map(one).filter(Boolean).join(between);
}

function one(a) {
  const flags = list(a.get("flags"));
  const type = a.get("type");
  const inner = a.get("arguments") ?? [];
  let s = type === "pure-token" ? "" : type === "oneof" ? syntax(inner, " | ") : type === "block" ? syntax(inner) : a.get("display_text") ?? a.get("name");
  const token = a.get("token") === "" ? '""' : a.get("token");
  if (token !== undefined) s = s ? `${token} ${type === "oneof" ? `<${s}>` : s}` : token;
  else if (type === "oneof" && !flags.includes("optional")) s = `<${s}>`;
  if (flags.includes("multiple")) s = flags.includes("multiple_token") || token === undefined ? `${s} [${s} …]` : `${s} [${s.slice(token.length + 1)} …]`;
  return flags.includes("optional") ? `[${s}]` : s;
}
