package tracking_test

import (
	"fmt"
	"strings"

	_ "byor/pkg/commands"
	"byor/pkg/engine"
	"byor/pkg/resp"
	"byor/pkg/tracking"
)

// host is a server of sessions without connections.
type host struct {
	e     *engine.Engine
	table tracking.Table
	peers map[int64]*peer
}

func (h *host) Session(id int64) *engine.Session {
	if p := h.peers[id]; p != nil {
		return &p.session
	}
	return nil
}

func (h *host) Listen() {
	if h.table.InUse() {
		h.e.ListenToKeys(listener{&h.table}, 0)
	} else {
		h.e.ListenToKeys(nil, 0)
	}
}

// listener has no use for keyspace events.
type listener struct{ *tracking.Table }

func (listener) KeyEvent(engine.Class, int, string, string) {}

// peer is a client of the host's.
type peer struct {
	engine.Peer // nil: nothing here needs a connection
	h           *host
	session     engine.Session
	state       tracking.State
}

func (p *peer) Tracks() (*tracking.Table, *tracking.State) { return &p.h.table, &p.state }
func (p *peer) Open() bool                                 { return true }

func (p *peer) Push(n int) (w *resp.Writer, mark int) {
	w = p.session.Output()
	mark = len(w.Buf)
	w.Push(n)
	return w, mark
}

func newHost() *host {
	commands := engine.Table()
	engine.Add(commands, "connection", []engine.Command{
		{Name: "client", Arity: -2, Sub: []*engine.Command{
			{Name: "caching", Arity: 3, Handler: tracking.CmdCaching},
			{Name: "tracking", Arity: -3, Handler: tracking.CmdTracking},
		}},
	})
	h := &host{e: engine.New(1, commands, nil, nil), peers: map[int64]*peer{}}
	h.table.Init(h)
	return h
}

// connect returns a new client that speaks RESP3.
func (h *host) connect() *peer {
	p := &peer{h: h}
	h.e.Init(&p.session, p)
	p.session.ID, p.session.Authed, p.session.Reply.Proto = int64(len(h.peers)+1), true, 3
	h.peers[p.session.ID] = p
	return p
}

// do runs commands as they would come in one piece.
func (p *peer) do(lines ...string) {
	h := p.h
	h.e.Lock()
	defer h.e.Unlock()
	h.e.Running = &p.session
	for _, line := range lines {
		var args [][]byte
		for _, word := range strings.Fields(line) {
			args = append(args, []byte(word))
		}
		if h.table.Clients() > 0 {
			h.table.Limit(2)
		}
		h.e.Execute(&p.session, args)
		if p.state.Due() {
			h.table.AfterCommand(&p.session)
		}
	}
	h.e.Running = nil
}

// output returns what the client was sent since the last time.
func (p *peer) output() string {
	out := strings.ReplaceAll(string(p.session.Reply.Buf), "\r\n", " ")
	p.session.Reply.Buf = nil
	return strings.TrimSpace(out)
}

// A client is told once of a key that it has read, and another one at the end of what has come, of all keys that begin
// in a way.
func Example() {
	h := newHost()
	reader, all, writer := h.connect(), h.connect(), h.connect()
	reader.do("CLIENT TRACKING ON", "GET user:1")
	all.do("CLIENT TRACKING ON BCAST PREFIX user:")
	fmt.Println(h.table.Counts())
	for _, p := range []*peer{reader, all} {
		p.output()
	}

	writer.do("SET user:1 ada", "SET user:1 eve", "SET user:2 bob", "SET other x")
	fmt.Println("reader:", reader.output())
	fmt.Println("all:   ", all.output())
	fmt.Println(h.table.Counts())
	// Output:
	// 1 1 1
	// reader: >2 $10 invalidate *1 $6 user:1
	// all:    >2 $10 invalidate *2 $6 user:1 $6 user:2
	// 0 0 1
}
