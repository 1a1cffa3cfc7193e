// Recall is the console's memory for what was typed. It lasts as long as the tab, and it never holds a secret.

const most = 200; // lines
const place = "console"; // in the sessionStorage

const secretSettings = /^(requirepass|masterauth|masteruser|tls-key-file-pass|tls-client-key-file-pass)$/i;

// secret says that a line may hold a password. words are its words, as strings.
export function secret(words) {
  const [command = "", sub = ""] = words.map((w) => w.toLowerCase());
  const has = (word) => words.some((w) => w.toLowerCase() === word);
  switch (command) {
    case "auth": return true;
    case "hello": return has("auth");
    case "migrate": return has("auth") || has("auth2");
    case "acl": return sub === "setuser";
    case "config": return sub === "set" && words.some((w) => secretSettings.test(w));
  }
  return false;
}

export class Recall {
  #lines = [];
  #at = 0; // the line shown; one behind the last is what is being typed
  #draft = "";

  constructor() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(place) ?? "[]");
      if (Array.isArray(kept)) this.#lines = kept.filter((l) => typeof l === "string");
    } catch {
      sessionStorage.removeItem(place);
    }
    this.#at = this.#lines.length;
  }

  // add keeps a line, unless it is the last one again. words are null if a quote was not closed.
  add(line, words) {
    if (words && !secret(words) && this.#lines.at(-1) !== line) {
      this.#lines.push(line);
      this.#lines.splice(0, this.#lines.length - most);
      sessionStorage.setItem(place, JSON.stringify(this.#lines));
    }
    this.#at = this.#lines.length;
    this.#draft = "";
  }

  // move goes back (-1) or forward (1) and returns the line there. typed is what stands in the field now.
  move(step, typed) {
    if (this.#at === this.#lines.length) this.#draft = typed;
    this.#at = Math.min(this.#lines.length, Math.max(0, this.#at + step));
    return this.#lines[this.#at] ?? this.#draft;
  }
}
