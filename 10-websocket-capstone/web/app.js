// The page: its connection, its login, and the panels.

import { $ } from "./dom.js";
import { Link } from "./link.js";
import { startConsole } from "./console.js";
import { startLab } from "./lab.js";
import { startKeys } from "./keys.js";
import { startServer } from "./server.js";
import { startWelcome } from "./welcome.js";

const link = new Link();
const stored = localStorage.getItem("name");
link.name = stored || "guest" + Math.floor(100 + 900 * Math.random());
$("name").value = link.name;

let entered = false; // somebody has been let in
link.addEventListener("state", ({ detail: { state, detail } }) => {
  $("dot").className = "dot" + (state === "up" ? " up" : state === "down" ? " down" : "");
  $("state").textContent = { up: "connected", connecting: "connecting", locked: "password needed" }[state] ?? detail;
  $("state").title = detail?.client ? `client ${detail.client}` : "";
  entered ||= state === "up";
  $("locked").hidden = state !== "locked";
  $("panels").hidden = state === "locked" || (!entered && !$("locked").hidden);
  $("login-says").textContent = state === "locked" && link.auth ? detail : "";
  if (state === "locked") $("pass").focus();
  if (state !== "up") $("role").hidden = $("rtt").hidden = true;
});
link.addEventListener("info", ({ detail: { fields, rtt } }) => {
  $("role").hidden = $("rtt").hidden = false;
  $("role").textContent = fields.role;
  $("rtt").textContent = rtt.toFixed(1) + " ms";
  for (const v of document.querySelectorAll(".version")) v.textContent = fields.redis_version;
});
$("reconnect").onclick = () => link.reconnect();
$("login").onsubmit = (e) => {
  e.preventDefault();
  link.login($("user").value.trim(), $("pass").value);
  $("pass").value = "";
};
$("name").onchange = () => {
  link.name = $("name").value.trim().replace(/\s+/g, "-") || link.name;
  $("name").value = link.name;
  localStorage.setItem("name", link.name);
  link.reconnect();
};

const { say } = startConsole(link);
startWelcome(link, say);
startLab(link);
startKeys(link);
startServer(link);
link.connect();
