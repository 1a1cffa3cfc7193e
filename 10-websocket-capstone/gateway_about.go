package main

import (
	"strings"
	"sync/atomic"

	"byor/pkg/server"
)

// Beside the way: what an administrator hears of the WebSockets, in CLIENT LIST and in INFO.

// maxOrigin is how much of an Origin header CLIENT LIST shows, in bytes.
const maxOrigin = 200

// isOf notes which protocol and which page a session is of.
func (p *session) isOf(proto, origin string) {
	about := "ws=json"
	if proto == protoRESP {
		about = "ws=resp"
	}
	if origin != "" {
		about += " origin=" + listed(origin)
	}
	p.mu.Lock()
	p.about = about
	p.mu.Unlock()
}

// About is for CLIENT LIST: the subprotocol, and the page if a browser has named one.
func (p *session) About() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.about
}

// listed returns text as a value of CLIENT LIST, whose fields end at a space and whose lines end at a newline: what is
// not printable ASCII, a percent sign or an equals sign is written as in a URL, and what is too long is cut.
func listed(text string) string {
	const hex = "0123456789abcdef"
	var b strings.Builder
	for i := 0; i < len(text) && b.Len() < maxOrigin; i++ {
		if c := text[i]; c > ' ' && c < 0x7f && c != '%' && c != '=' {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return b.String()
}

// census is what the open WebSockets are.
type census struct{ json, resp, queued int }

// census counts the open WebSockets, and the bytes that wait for them.
func (g *gateway) census() (n census) {
	for _, s := range g.open() {
		if s.proto == protoRESP {
			n.resp++
		} else {
			n.json++
		}
		n.queued += s.out.waiting()
	}
	return n
}

// infoPrefix is how INFO's fields about WebSockets begin.
const infoPrefix = "websocket_"

// infoSection is INFO's section about the WebSockets of a gateway that there will be, once it is stored in g.
func infoSection(g *atomic.Pointer[gateway]) *server.InfoBeside {
	return &server.InfoBeside{Section: "websocket", Fields: func() []any {
		g := g.Load()
		if g == nil {
			return nil
		}
		n, m := g.census(), &g.metrics
		return []any{infoPrefix + "clients", n.json + n.resp, infoPrefix + "clients_json", n.json, infoPrefix + "clients_resp", n.resp,
			infoPrefix + "queue_bytes", n.queued, infoPrefix + "deliveries", m.delivered.Load(), infoPrefix + "slow_disconnects", m.closesOf(closeSlow),
			infoPrefix + "killed", m.closesOf(closeKilled), infoPrefix + "refused", m.refused.Load()}
	}}
}
