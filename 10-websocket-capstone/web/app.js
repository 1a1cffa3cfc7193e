// The page: its connection, its login, and the panels.

import { $ } from "./dom.js";
import { Link } from "./link.js";
import { startConsole } from "./console.js";
import { startLab } from "./lab.js";
import { startKeys } from "./keys.js";
import { startServer } from "./server.js";

const link = new Link();
const stored = localStorage.getItem("name");
link.name = stored || "guest" + Math.floor(100 + 900 * Math.random());
$("name").value = link.name;

link.addEventListener("state", ({ detail: { state, detail } }) => {
  $("dot").className = "dot" + (state === "up" ? " up" : state === "down" ? " down" : "");
  $("state").textContent = { up: "connected", connecting: "connecting", locked: "password needed" }[state] ?? detail;
  $("login").hidden = state !== "locked";
  for (const id of ["role", "rtt"]) if (state !== "up") $(id).hidden = true;
  if (state === "up") $("state").textContent = `connected, client ${detail.client}`;
  if (state === "locked" && link.auth) $("state").textContent = detail;
});
$("reconnect").onclick = () => link.reconnect();
$("login").onsubmit = (e) => {
  e.preventDefault();
  link.login($("user").value.trim(), $("pass").value);
};
$("name").onchange = () => {
  link.name = $("name").value.trim().replace(/\s+/g, "-") || link.name;
  $("name").value = link.name;
  localStorage.setItem("name", link.name);
  link.reconnect();
};

startConsole(link);
startLab(link);
startKeys(link);
startServer(link);
link.connect();
