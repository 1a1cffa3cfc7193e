// The page: its connection, its login, and the panels.

import { connect } from "./client.js";
import { startConsole } from "./console.js";
import { $ } from "./dom.js";
import { startKeys } from "./keys.js";
import { startLab } from "./lab.js";
import { startServer } from "./server.js";
import { startWelcome } from "./welcome.js";

// Who somebody is. The password stays here, and only as long as the page is open.
const who = { name: localStorage.getItem("name") || "guest" + Math.floor(100 + 900 * Math.random()), auth: undefined };
$("name").value = who.name;
const link = connect({ name: who.name, auth: () => who.auth });

const secret = (error) => /^(NOAUTH|WRONGPASS)$/.test(error?.code);
const says = {
  connecting: () => "connecting",
  up: () => "connected",
  down: ({ code, reason, retryMs }) => `closed ${code}${reason ? " (" + reason + ")" : ""}, again in ${(retryMs / 1000).toFixed(1)} s`,
  locked: ({ error }) => (secret(error) ? "password needed" : error.message),
  closed: () => "closed",
};

function tell({ detail }) {
  const { state, error, client } = detail;
  const locked = state === "locked" && secret(error);
  $("dot").className = { up: "dot up", connecting: "dot" }[state] ?? "dot down";
  $("state").textContent = says[state](detail);
  $("state").title = client ? `client ${client}` : "";
  $("reconnect").classList.toggle("wanted", state === "down" || state === "locked");
  if (state !== "up") $("role").hidden = $("rtt").hidden = true;
  if (state === "connecting") return; // what is shown stays until it is clear what comes
  $("locked").hidden = !locked;
  $("panels").hidden = $("nav").hidden = locked;
  $("login-says").textContent = locked && who.auth ? error.message : "";
  if (locked) $("pass").focus();
}
link.addEventListener("state", tell);
link.addEventListener("info", ({ detail: { fields, rtt } }) => {
  $("role").hidden = $("rtt").hidden = false;
  $("role").textContent = fields.role;
  $("rtt").textContent = rtt.toFixed(1) + " ms";
  for (const v of document.querySelectorAll(".version")) v.textContent = fields.redis_version;
});
$("reconnect").onclick = () => link.reconnect();
$("login").onsubmit = (e) => {
  e.preventDefault();
  who.auth = { user: $("user").value.trim() || undefined, pass: $("pass").value };
  $("pass").value = "";
  link.reconnect();
};
$("name").onchange = () => {
  who.name = $("name").value.trim().replace(/\s+/g, "-") || who.name;
  $("name").value = who.name;
  localStorage.setItem("name", who.name);
  link.reconnect({ name: who.name });
};

const { say } = startConsole(link, who);
startWelcome(link, say);
startLab(link, who);
startKeys(link);
startServer(link);
