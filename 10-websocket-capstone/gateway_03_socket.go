package main

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// Station 3: a socket has three goroutines, one for each direction that can block:
//
//	read    peer → session    frames in, commands out                   stations 4 to 7
//	listen  session → outbox  replies and pushes in, messages out       stations 7 to 9
//	write   outbox → peer     the only one that writes data frames      stations 10 and 11
//
// listen waits for no peer to take a push, so the engine never waits for a browser. If the peer takes
// nothing, messages heap up in the outbox until it overflows, and the socket is closed. read may wait for the
// session, and then the peer waits, too.

// socket is one WebSocket.
type socket struct {
	g       *gateway
	ws      *websocket.Conn
	session net.Conn // our end of the engine's session
	proto   string
	out     outbox
	done    chan struct{} // closed by teardown
	once    sync.Once

	helloTimer *time.Timer // runs until the peer has logged in
	authed     atomic.Bool
	draining   atomic.Bool
	lastPing   atomic.Int64
	bucket     bucket // used by read only
	strikes    float64
	inMessage  atomic.Bool // in the middle of a message of the peer's
	progress   int         // used by write only: bytes since the deadlines were renewed

	unsent *unsentConn // the connection under ws; nil if that is none of ours

	json *jsonTalk // of byor.json.v1
	resp *respTalk // of byor.resp.v1
}

func newSocket(g *gateway, ws *websocket.Conn, session net.Conn) *socket {
	s := &socket{
		g: g, ws: ws, session: session, proto: ws.Subprotocol(), done: make(chan struct{}),
		bucket: newBucket(g.opts.OpsRate, g.opts.OpsBurst, time.Now()),
	}
	s.out.init(g.opts.MaxQueue)
	if c, ok := ws.NetConn().(*unsentConn); ok {
		s.unsent = c
		c.watch(s.out.rouse)
	}
	if s.proto == "" {
		s.proto = protoJSON
	}
	if s.proto == protoRESP {
		s.resp = newRESPTalk(s)
	} else {
		s.json = newJSONTalk(s)
	}
	return s
}

// run starts the goroutines and returns.
func (s *socket) run() {
	// region: three goroutines, one of which reads
	s.ws.SetReadLimit(int64(s.g.opts.MaxMessage)) // gorilla has none by default
	s.ws.SetPongHandler(s.pong)
	// endregion
	s.ws.SetPingHandler(s.answerPing)
	if !s.g.opts.locked() {
		s.authed.Store(true)
	} else {
		s.helloTimer = time.AfterFunc(s.g.opts.HelloTimeout, func() {
			if !s.authed.Load() {
				s.close(closeHelloTimeout, "log in first, with hello", false)
			}
		})
	}
	// region: three goroutines, one of which reads
	go s.write()
	go s.listen()
	go s.read()
	// endregion
}

// loggedIn ends the waiting for a login.
func (s *socket) loggedIn() {
	s.authed.Store(true)
	if s.helloTimer != nil {
		s.helloTimer.Stop()
	}
}

func (g *gateway) open() []*socket {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*socket, 0, len(g.sockets))
	for s := range g.sockets {
		all = append(all, s)
	}
	return all
}

func (g *gateway) forget(s *socket) {
	g.mu.Lock()
	delete(g.sockets, s)
	g.mu.Unlock()
}
