package main

import "strings"

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
