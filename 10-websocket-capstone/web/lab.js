// The pub/sub lab: subscriptions with presence, a feed, publishing, and the
// slow consumer.

import { bytesOf } from "./bytes.js";
import { $, button, cli, count, el, show, text } from "./dom.js";

const most = 2000; // characters of a message that are shown
const event = (words, also = "") => el("span", "event " + also, words);
const isPattern = (topic) => /[*?[]/.test(topic);

export function startLab(link, who) {
  const topics = new Map(); // name → {pattern, sub, members, users}
  let arrivals = [];
  const tryThis = $("try"); // it leaves the document with the first message

  const add = (...nodes) => addAt(new Date(), ...nodes);

  function addAt(when, ...nodes) {
    const feed = $("feed");
    const end = feed.scrollHeight - feed.scrollTop - feed.clientHeight < 40;
    feed.querySelector(".empty")?.remove();
    feed.append(el("p", "", el("span", "at", when.toLocaleTimeString("en-GB")), ...nodes));
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

  // The client subscribes again by itself after a reconnect.
  async function subscribe(name, presence) {
    if (topics.has(name)) return;
    const pattern = isPattern(name);
    const topic = { pattern };
    topics.set(name, topic);
    const onPresence = ({ users, members, join, leave }) => {
      Object.assign(topic, { users, members });
      const words = [join.length ? join.join(", ") + " joined" : "", leave.length ? leave.join(", ") + " left" : ""].filter(Boolean).join("; ");
      if (topic.told && words) add(el("span", "from", name), event(words));
      topic.told = true; // the first time it says who is there already
      draw();
    };
    topic.sub = link.subscribe(name, {
      pattern, presence: presence && !pattern, last: pattern ? undefined : 20, onMessage: message, onPresence,
      onResume: ({ recovered }) => add(el("span", "from", name), event(recovered ? "subscribed again, nothing was missed" : "subscribed again; what was sent meanwhile is lost")),
      onError: (err) => {
        if (!topics.delete(name)) return;
        add(el("span", "from", name), event(err.message, "t-err"));
        draw();
      },
    });
    await topic.sub.ready.catch(() => {}); // onError tells
    draw();
  }

  function unsubscribe(name) {
    const { sub } = topics.get(name);
    topics.delete(name);
    sub.unsubscribe();
    draw();
  }

  function message(m) {
    arrivals.push(performance.now());
    const when = m.entry ? new Date(Number(m.entry.split("-")[0])) : new Date(); // an entry of the history begins with its time
    const more = m.data.length > most ? ` … ${count(bytesOf(m.data).length)} bytes` : "";
    addAt(when, el("span", "from", text(m.channel)), m.pattern ? el("span", "via", "via " + text(m.pattern)) : null, ...show(m.data.slice(0, most)), more);
  }
  link.addEventListener("goodbye", ({ detail: m }) => add(event("the server says goodbye: " + m.reason)));

  $("subscribe").onsubmit = (e) => {
    e.preventDefault();
    const name = $("topic").value.trim();
    if (name) subscribe(name, $("presence").checked);
  };
  $("publish").onsubmit = (e) => {
    e.preventDefault();
    const channel = $("to").value;
    link.publish(channel, $("what").value).then(
      (n) => { if (n === 0) add(event("nobody was listening to " + channel)); },
      (err) => add(event(err.message, "t-err")),
    );
    $("what").value = "";
  };
  link.addEventListener("info", ({ detail: { fields } }) => (tryThis.textContent = `${cli(fields.tcp_port)} PUBLISH room:1 hello`));
  setInterval(() => {
    const now = performance.now();
    arrivals = arrivals.filter((at) => now - at < 1000);
    $("rate").textContent = arrivals.length;
  }, 500);
  startSlowConsumer(link, who);
}

// The slow consumer subscribes to one channel and to many patterns that match
// it, so that one publish is many deliveries and the flood needs few.
function startSlowConsumer(link, who) {
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
        for (let i = 0; i < 12; i++) link.publish(channel, payload).catch(() => {});
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
    if (who.auth) hello.auth = who.auth;
    worker.postMessage({ url: link.url, hello, channel, patterns, ms: 3000 });
  };
}
