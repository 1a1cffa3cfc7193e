// A consumer that does not consume. It has a worker of its own, so that the page stays alive. It subscribes,
// then blocks its thread while messages heap up before it. When it looks up again, it finds close code 4008.

onmessage = (e) => {
  const { url, hello, channel, patterns, ms } = e.data;
  const ws = new WebSocket(url, "byor.json.v1");
  let got = 0;
  ws.onopen = () => {
    ws.send(JSON.stringify({ id: 1, op: "hello", ...hello }));
    ws.send(JSON.stringify({ id: 2, op: "sub", channels: [channel], patterns }));
  };
  ws.onmessage = (m) => {
    for (const line of m.data.split("\n")) {
      const v = JSON.parse(line);
      if (v.id === 2) {
        postMessage({ ready: true });
        setTimeout(() => { // let the word get out before the thread blocks
          const until = performance.now() + ms;
          while (performance.now() < until);
        }, 50);
      } else if (v.push) {
        got++;
      }
    }
  };
  ws.onclose = (c) => postMessage({ code: c.code, reason: c.reason, got });
};
