// The pub/sub lab: subscriptions with presence, a feed, publishing, and the
// slow consumer.

import { $, button, el, text } from "./dom.js";
import { socketURL } from "./link.js";

const isPattern = (topic) => /[*?[]/.test(topic);

export function startLab(link) {
  const topics = new Map(); // name → {pattern, presence, members, users}
  let arrivals = [];
  const tryThis = $("try"); // it leaves the document with the first message

  function add(...nodes) {
    const feed = $("feed");
    const end = feed.scrollHeight - feed.scrollTop - feed.clientHeight < 40;
    feed.querySelector(".empty")?.remove();
    feed.append(el("p", "", el("span", "at", new Date().toLocaleTimeString("en-GB")), ...nodes));
    while (feed.childElementCount > 500) feed.firstElementChild.remove();
    if (end) feed.scrollTop = feed.scrollHeight;
  }

  function draw() {
    $("topics").replaceChildren(...Array.from(topics, ([name, t]) => {
      const off = button("×", "", "Unsubscribe from " + name, () => unsubscribe(name));
      const chip = el("span", "chip" + (t.pattern ? " pattern" : ""), name);
      if (t.users !== undefined) {
        const people = el("span", "people", `${t.users} here`);
        people.title = t.members ? [...t.members].join(", ") : "";
        chip.append(people);
      }
      chip.append(off);
      return chip;
    }));
  }

  async function subscribe(name, presence) {
    const pattern = isPattern(name);
    const answer = await link.call("sub", pattern ? { patterns: [name] } : { channels: [name], presence });
    const t = { pattern, presence };
    topics.set(name, t);
    snapshot(name, answer.presence?.[name]);
    draw();
  }

  function snapshot(name, p) {
    const t = topics.get(name);
    if (!t || !p) return;
    t.users = p.users;
    t.members = p.members && new Set(p.members);
  }

  async function unsubscribe(name) {
    const t = topics.get(name);
    topics.delete(name);
    draw();
    await link.call("unsub", t.pattern ? { patterns: [name] } : { channels: [name] });
  }

  const message = ({ detail: m }) => {
    arrivals.push(performance.now());
    if (m.channel.startsWith("slow:")) return; // the experiment's flood
    add(el("span", "from", text(m.channel)), m.pattern ? el("span", "via", "via " + text(m.pattern)) : null, text(m.data));
  };
  link.addEventListener("message", message);
  link.addEventListener("pmessage", message);
  link.addEventListener("presence", ({ detail: m }) => {
    const t = topics.get(m.channel);
    if (!t) return;
    t.users = m.users;
    if (m.join) {
      t.members ??= new Set();
      for (const u of m.join) t.members.add(u);
      for (const u of m.leave) t.members.delete(u);
      const words = [m.join.length ? m.join.join(", ") + " joined" : "", m.leave.length ? m.leave.join(", ") + " left" : ""].filter(Boolean).join("; ");
      add(el("span", "from", m.channel), el("span", "event", words));
    } else {
      t.members = null;
    }
    draw();
  });
  link.addEventListener("goodbye", ({ detail: m }) => add(el("span", "event", "the server says goodbye: " + m.reason)));
  link.addEventListener("state", ({ detail: { state } }) => {
    if (state !== "up") return;
    for (const [name, t] of topics) subscribe(name, t.presence).catch((err) => add(el("span", "event t-err", err.message)));
  });

  $("subscribe").onsubmit = (e) => {
    e.preventDefault();
    const name = $("topic").value.trim();
    if (name) subscribe(name, $("presence").checked).catch((err) => add(el("span", "event t-err", err.message)));
  };
  $("publish").onsubmit = (e) => {
    e.preventDefault();
    link.call("pub", { channel: $("to").value, data: $("what").value }).then(
      (n) => { if (n === 0) add(el("span", "event", "nobody was listening to " + $("to").value)); },
      (err) => add(el("span", "event t-err", err.message)),
    );
    $("what").value = "";
  };
  link.addEventListener("info", ({ detail: { fields } }) => (tryThis.textContent = `redis-cli -p ${fields.tcp_port} PUBLISH room:1 hello`));
  setInterval(() => {
    const now = performance.now();
    arrivals = arrivals.filter((at) => now - at < 1000);
    $("rate").textContent = arrivals.length;
  }, 500);
  startSlowConsumer(link);
}

// The slow consumer subscribes to one channel and to many patterns that match
// it, so that one publish is many deliveries and the flood needs few.
function startSlowConsumer(link) {
  const say = (t) => {
    $("slow-says").hidden = false;
    $("slow-says").textContent = t;
  };
  $("slow").onclick = () => {
    $("slow").disabled = true;
    const channel = "slow:" + Math.random().toString(36).slice(2);
    const patterns = Array.from({ length: 40 }, (_, i) => channel + "*".repeat(i + 1));
    const worker = new Worker("slow.js");
    const done = () => {
      worker.terminate();
      $("slow").disabled = false;
    };
    worker.onmessage = async ({ data }) => {
      if (data.ready) {
        say("A second socket has subscribed and stopped reading. Flooding it…");
        await new Promise((r) => setTimeout(r, 150));
        const payload = "x".repeat(60000);
        for (let i = 0; i < 12; i++) link.call("pub", { channel, data: payload }).catch(() => {});
        return;
      }
      say(data.code === 4008
        ? `Closed with 4008: “${data.reason}”. It got ${data.got} messages without a hole, then nothing. Publishers and this page never waited for it.`
        : `Closed with ${data.code} ${data.reason} after ${data.got} messages.`);
      done();
    };
    worker.onerror = (e) => {
      say("The worker failed: " + e.message);
      done();
    };
    const hello = { name: "slow" };
    if (link.auth) hello.auth = link.auth;
    worker.postMessage({ url: socketURL(), hello, channel, patterns, ms: 3000 });
  };
}
