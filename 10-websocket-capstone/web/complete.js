// Completion and explanation under the console's line. Tab goes through what a word may become; the arrow keys
// stay with the history.

import { $, el } from "./dom.js";
import { syntax } from "./docs.js";

const most = 12; // suggestions

export function startCompletion(docs) {
  const input = $("line");
  let offered = []; // words
  let at = -1; // the one that Tab has put into the line
  let before = ""; // the line in front of the word

  // words returns the words of the line up to the cursor in lower case; the last may be "".
  const words = () => input.value.slice(0, input.selectionStart ?? undefined).toLowerCase().trimStart().split(/\s+/);

  async function look() {
    await docs.load();
    const w = words();
    before = input.value.slice(0, input.value.slice(0, input.selectionStart).search(/\S*$/));
    at = -1;
    offered = w.length === 1 && w[0] === "" ? [] : docs.complete(w).slice(0, most);
    draw();
    explain(w);
  }

  function draw() {
    const upper = /[A-Z]/.test(words().at(-1)) || /^\s*[A-Z]/.test(input.value);
    offered = offered.map((o) => (upper ? o.toUpperCase() : o));
    $("offers").replaceChildren(...offered.map((word, i) => {
      const option = el("li", "", word);
      option.id = "offer" + i;
      option.setAttribute("role", "option");
      option.onpointerdown = (e) => {
        e.preventDefault(); // the line keeps the cursor
        put(i);
        look();
      };
      return option;
    }));
    $("offers").hidden = offered.length === 0;
    input.setAttribute("aria-expanded", String(offered.length > 0));
    mark();
  }

  function mark() {
    Array.from($("offers").children, (o, i) => o.setAttribute("aria-selected", String(i === at)));
    if (at >= 0) input.setAttribute("aria-activedescendant", "offer" + at);
    else input.removeAttribute("aria-activedescendant");
  }

  function put(i) {
    const behind = input.value.slice(input.selectionStart);
    const rest = (at < 0 ? behind.replace(/^\S+/, "") : behind).trimStart(); // the first time, the rest of the word goes
    at = i;
    const head = before + offered[i] + " ";
    input.value = head + rest;
    input.setSelectionRange(head.length, head.length);
    mark();
  }

  let explained = null;
  function explain(w) {
    const command = docs.find(w);
    if (command === explained) return;
    explained = command;
    if (!command) return $("explain").replaceChildren();
    const args = command.subs.length ? "<" + command.subs.join(" | ") + ">" : syntax(command.args);
    const about = el("span", "", [command.summary, command.since && "since " + command.since, command.complexity].filter(Boolean).join(" · "));
    $("explain").replaceChildren(el("code", "", el("b", "", command.name.toUpperCase()), " " + args), about);
    docs.facts(command).then((facts) => { if (explained === command && facts.length) about.append(" · " + facts.join(", ")); }, () => {});
  }

  input.addEventListener("input", look);
  input.addEventListener("focus", look);
  input.addEventListener("blur", () => {
    offered = [];
    draw();
  });
  input.addEventListener("keydown", (e) => {
    if (e.key === "Escape" && offered.length) {
      offered = [];
      draw();
    }
    // An empty line, or one with nothing to offer, leaves Tab to the browser: it goes on to the next field.
    if (e.key !== "Tab" || !offered.length || e.ctrlKey || e.altKey) return;
    e.preventDefault();
    const step = e.shiftKey ? -1 : 1;
    put(at < 0 ? (e.shiftKey ? offered.length - 1 : 0) : (at + step + offered.length) % offered.length);
    explain(words().filter(Boolean));
    if (offered.length === 1) look();
  });
  return { look };
}
