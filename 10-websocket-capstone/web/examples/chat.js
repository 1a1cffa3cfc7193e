// A chat: a room is the channel room:NAME, a message the JSON {from, text}. Anything else, such as what redis-cli
// publishes, is shown as it is. Everything goes into the page as text (textContent), never as markup.

import { connect } from "../client.js";

const $ = (id) => document.getElementById(id);
const rooms = new Set(["lobby", "coffee", "help"]);
const name = (text) => text.trim().replace(/\s+/g, "-").slice(0, 40);
let me = localStorage.getItem("name") || "guest" + Math.floor(100 + 900 * Math.random());
let sub = null;
const db = connect({ name: me });

function line(kind, from, text, at = Date.now()) {
  const end = $("messages").scrollHeight - $("messages").scrollTop - $("messages").clientHeight < 60;
  const item = document.createElement("li");
  item.className = kind;
  const time = new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  for (const [part, value] of [["from", from], ["text", text], ["at", time]]) {
    item.append(Object.assign(document.createElement("span"), { className: part, textContent: value }));
  }
  $("messages").append(item);
  while ($("messages").childElementCount > 500) $("messages").firstChild.remove();
  if (end) $("messages").scrollTop = $("messages").scrollHeight;
}

function show({ data, entry }) {
  let m = { from: "redis-cli", text: typeof data === "string" ? data : `${data.length} bytes` };
  try {
    const { from, text } = JSON.parse(data);
    if (typeof from === "string" && typeof text === "string") m = { from, text };
  } catch {} // no JSON: as it is
  line(m.from === me ? "mine" : "", m.from, m.text, entry && Number(entry.split("-")[0])); // an entry tells its time
}

function enter(room) {
  rooms.add(room);
  location.hash = room;
  sub?.unsubscribe();
  $("messages").replaceChildren();
  $("rooms").replaceChildren(...Array.from(rooms, (r) => {
    const button = Object.assign(document.createElement("button"), { textContent: r, onclick: () => enter(r) });
    if (r === room) button.setAttribute("aria-current", "true");
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  const mine = (sub = db.subscribe("room:" + room, {
    last: 50, presence: true, onMessage: show,
    onPresence({ users, members }) {
      $("count").textContent = users + " here";
      const list = [...(members ?? [])].sort().map((m) => Object.assign(document.createElement("li"), { textContent: m }));
      $("people").replaceChildren(...list);
    },
    onResume: ({ recovered }) => recovered || line("note", "", "The connection was lost for a while. Messages may be missing here."),
    onError: (err) => line("note", "", err.message),
  }));
  mine.ready.then((r) => {
    if (mine === sub && !r.last?.[mine.name]) line("note", "", 'This server keeps no history of its rooms. Start it with --history "room:*=1000" for that.');
  }, () => {});
}

db.addEventListener("state", ({ detail }) => {
  $("state").textContent = { up: "connected", locked: "password needed" }[detail.state] ?? "connecting";
  $("state").className = "state " + detail.state;
  $("login").hidden = detail.state !== "locked";
});
const form = (id, f) => ($(id).onsubmit = (e) => (e.preventDefault(), f()));
form("login", () => db.login({ user: $("user").value.trim() || "default", pass: $("pass").value }));
form("enter", () => { if (name($("room").value)) enter(name($("room").value)); $("room").value = ""; });
form("say", () => {
  const text = $("text").value.trim();
  $("text").value = "";
  if (text) db.publish(sub.name, JSON.stringify({ from: me, text })).catch((err) => line("note", "", "Not sent: " + err.message));
});
form("me", () => $("name").blur());
$("name").value = me;
$("name").onchange = () => {
  $("name").value = me = name($("name").value) || me;
  localStorage.setItem("name", me);
  db.reconnect({ name: me });
};
enter(name(decodeURIComponent(location.hash.slice(1))) || "lobby");
