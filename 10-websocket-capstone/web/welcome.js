// The first steps, for those who have never been here: three commands to click.

import { $, button, cli, el } from "./dom.js";

const steps = [
  ['SET greeting "hello"', "keeps a text under the name greeting"],
  ["GET greeting", "reads it, as anybody may who is connected"],
  ["INCR visits", "counts; press it twice"],
];

export function startWelcome(link, say) {
  const done = new Set();
  const card = $("welcome");

  function draw() {
    $("steps").replaceChildren(...steps.map(([line, about], i) => {
      const b = button(line, "step", "", () => {
        done.add(i);
        say(line);
        draw();
        $("steps").children[i].firstChild.focus();
        $("console").scrollIntoView({ block: "nearest" });
      });
      return el("li", done.has(i) ? "done" : "", b, el("span", "hint", about));
    }));
    $("welcome-next").hidden = done.size < steps.length;
  }

  function open(on) {
    card.hidden = !on;
    if (!on) localStorage.setItem("welcomed", "yes");
  }

  $("welcome-close").onclick = () => open(false);
  $("first-steps").onclick = () => {
    open(true);
    card.scrollIntoView({ block: "center" });
    $("steps").querySelector("button").focus();
  };
  link.addEventListener("info", ({ detail: { fields } }) => {
    for (const code of document.querySelectorAll(".cli")) code.textContent = cli(fields.tcp_port);
  });
  draw();
  open(!localStorage.getItem("welcomed"));
}
