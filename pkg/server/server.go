// Package server is a Redis around the engine: it gives it connections, files, replicas, a master and a
// configuration, and has the commands that administer all this. How a command is executed is pkg/engine's, what
// it does to data pkg/commands'.
//
// The files stand by what they are about: client_ is a session with its connection, its replies on their way
// and what clients are told of each other; transport_ is how bytes come and go: on Linux by event loops, which
// serve many sockets each (transport_loop_linux.go), elsewhere, and for what is no socket, by a goroutine a
// connection (transport.go); config_ lets parameters take effect; repl_ has both ends of
// replication, info_ what INFO says; server_ is the life of the whole. The two kinds of file are package persist's,
// the users package users', and client-side caching is package tracking's.
//
// The way of a command: a transport reads and parses; client.run has the engine execute what has come, under the
// engine's lock, a batch at a time; the engine hands effects to the log (persist/aof.go) and the replicas
// (repl.go) and asks world (server_world.go) what it has to know of the surroundings; handOver passes the replies to
// the output side (client_output.go), from which flush writes them, after the log is as safe as
// appendfsync demands. Nothing that waits for the world holds the lock.
//
// The package guarantees what Redis 7.0 documents, but for what step 10's README lists. It does not isolate two
// servers in a process from each other in two points: the limits of encodings and the memory that the process
// has are the process's.
package server

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	_ "byor/pkg/commands" // which registers them
	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/history"
	"byor/pkg/logs"
	"byor/pkg/migrate"
	"byor/pkg/persist"
	"byor/pkg/supervise"
	"byor/pkg/tracking"
	"byor/pkg/users"
)

// Options are what a Server needs besides its configuration. The zero value is right for a program.
type Options struct {
	Clock func() time.Time // the wall clock; nil means time.Now
	Plain Plain            // what of the fast path is left out
	Log   *Logger          // nil means the one that the configuration describes

	// Wrap is given every connection that is served, and returns what is served in its place, as
	// resp.Trace does; nil means the connection itself. An event loop takes sockets and nothing that
	// looks like one, so with Wrap each connection has a goroutine.
	Wrap func(net.Conn) net.Conn

	// ReservedChannels is how the channels begin on which only the process itself may publish (see
	// client_peer.go); "" means that there are none.
	ReservedChannels string

	// Commands are the program's own, beside those of Redis. They are written as Redis's are: see engine.Call.
	// rename-command does not know them.
	Commands []engine.Command

	// History keeps what is published on some channels, and gives the server the command HISTORY.SUBSCRIBE; nil means
	// that the server has neither. It is the server's own from then on.
	History *history.Keeper

	// WholeProcess says that the process has no other server and no other use for its memory, so the server may
	// limit Go's heap by maxmemory. The environment's GOMEMLIMIT goes before that.
	WholeProcess bool

	// Listening is called by Run once its sockets are open; nil means nobody is told.
	Listening func()

	// Beside are INFO's fields about what stands beside the server in this process, a section of their own (see
	// InfoBeside); nil means that there is none.
	Beside *InfoBeside

	// WebTLS is what browsers that come by TLS, beside the server, are asked for (see certs.Settings); "" if none do.
	WebTLS string

	// Supervisor hears how far the server is; nil means that nobody supervises the process.
	Supervisor *supervise.Supervisor
}

// Server is a Redis server. Its exported methods are safe for concurrent use.
type Server struct {
	eng *engine.Engine // its lock guards everything below but what says otherwise
	cfg *config.Config

	born     map[string]*engine.Command // the commands before rename-command; nil: there was none
	wrap     func(net.Conn) net.Conn    // never nil; see Options
	announce func()                     // called when the sockets are open; may be nil
	beside   *InfoBeside                // see Options
	reserved string                     // how the channels begin that are the process's own
	log      *Logger
	boss     *supervise.Supervisor // who started the process; may be nil, which is nobody
	runID    string
	pidFile  string // the path, "" for none

	clients  map[int64]*client
	nextID   int64
	monitors []*client
	tracking tracking.Table

	traffic    trafficCounters
	stats      stats
	history    *history.Keeper // may be nil
	messages   messageCache    // of the PUBLISH that runs
	eventBuf   []byte          // for keyspace events
	clientMem  tally           // what the clients have each for itself
	sharedMem  atomic.Int64    // the output that several of them wait for
	memory     memory
	cronPaused bool

	migrations migrate.Pool
	migrating  bool // a MIGRATE waits for the other server

	users *users.Accounts
	files *persist.Files
	replication

	queryLimit atomic.Int64 // client-query-buffer-limit, read without the lock

	loops     []*loop
	nextLoop  int
	woke      bool // goroutines that serve connections have got something to do; guarded by the engine's lock
	plain     Plain
	listeners []net.Listener
	doors     [2]door // those of them that CONFIG SET can move
	secure
	listening sync.WaitGroup
	serving   sync.WaitGroup
	stop      chan struct{}
	loaded    chan struct{} // closed when the loading at start is over
	down      shutdownState
}

// New returns a server with the configuration, which it owns from then on. It does nothing until
// Start.
func New(cfg *config.Config, opt Options) *Server {
	if opt.Log == nil {
		opt.Log = logs.New(cfg)
	}
	if opt.Wrap == nil {
		opt.Wrap = func(conn net.Conn) net.Conn { return conn }
	}
	s := &Server{
		cfg: cfg, wrap: opt.Wrap,
		announce: opt.Listening, reserved: opt.ReservedChannels, beside: opt.Beside, log: opt.Log, plain: opt.Plain, boss: opt.Supervisor, runID: randomHex(40),
		history: opt.History, clients: map[int64]*client{}, stop: make(chan struct{}), loaded: make(chan struct{}),
	}
	named, born := cfg.Tables()
	for _, table := range []map[string]*engine.Command{named, born} {
		if table != nil {
			engine.Add(table, "module", opt.Commands)
			engine.Add(table, "pubsub", historyCommands(opt.History))
		}
	}
	if opt.Plain.Clock && opt.Clock == nil {
		opt.Clock = time.Now // the engine asks a clock that it is given each time
	}
	s.eng = engine.New(int(cfg.Databases), named, opt.Clock, world{s})
	s.born = born
	s.files = persist.New(s.eng, cfg, world{s})
	s.tracking.Init(world{s})
	s.resetStats()
	s.users = users.New(s.eng, cfg, world{s})
	s.memory.collector.Whole = opt.WholeProcess
	s.applyConfig()
	s.eng.Loading = true // until Start has loaded the data
	s.initReplication()
	s.recalm()
	s.memory.startup = startupMemory()
	s.memory.rest = s.memory.startup
	s.memory.collector.Start()
	s.doors = newDoors()
	s.startCerts(opt.WebTLS)
	return s
}

// recalm works out whether any of the rarely needed checks of refusal can refuse something.
func (s *Server) recalm() {
	s.eng.Calm = !s.eng.Loading && s.cfg.MaxMemory == 0 && s.cfg.MinReplicasToWrite == 0 &&
		!s.isReplica() && s.files.DiskError() == ""
}

// accept registers a new connection. It returns nil, and what to say before closing it, for one that is
// turned away. The engine's lock must be held.
func (s *Server) accept(conn net.Conn) (c *client, refusal string) {
	s.eng.Tick()
	if s.down.closed {
		return nil, ""
	}
	s.stats.connections++
	if len(s.clients)+s.handshakes >= int(s.cfg.MaxClients) {
		refusal = "-ERR max number of clients reached\r\n"
	} else {
		refusal = s.protectedRefusal(conn)
	}
	if refusal != "" {
		s.stats.rejectedConnections++
		return nil, refusal
	}
	return s.newClient(conn), ""
}

// protectedRefusal is Redis's protected mode: without a password, only this machine may connect.
func (s *Server) protectedRefusal(conn net.Conn) string {
	a, isTCP := conn.RemoteAddr().(*net.TCPAddr)
	if !s.cfg.ProtectedMode || !s.users.Default().NoPass() || !isTCP || a.IP.IsLoopback() {
		return ""
	}
	return "-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default user. " +
		"In this mode connections are only accepted from the loopback interface. To accept others, set a password with CONFIG SET requirepass, or turn protected mode off.\r\n"
}

// NeedsLogin reports whether clients have to log in now. It is for what stands beside the server in the same process.
func (s *Server) NeedsLogin() bool {
	s.eng.Lock()
	defer s.eng.Unlock()
	return !s.users.Open()
}

// loadPatience is how long connections wait for the loading at start before they are told of it.
const loadPatience = 200 * time.Millisecond

// Serve accepts connections from ln until the server shuts down or ln is closed. Errors that pass,
// such as too many open files, are waited out.
func (s *Server) Serve(ln net.Listener) error { return s.serve(ln, false) }

// serve is Serve, by TLS or without.
func (s *Server) serve(ln net.Listener, byTLS bool) error {
	s.eng.Lock()
	if s.down.begun {
		s.eng.Unlock()
		ln.Close()
		return net.ErrClosed
	}
	s.listeners = append(s.listeners, ln)
	s.listening.Add(1)
	s.eng.Unlock()
	defer s.listening.Done()
	// Small files are loaded before anybody is let in: to be told -LOADING for some milliseconds helps
	// nobody. Who connects meanwhile waits in the listener's queue.
	select {
	case <-s.loaded:
	case <-time.After(loadPatience):
	case <-s.stop:
		return net.ErrClosed
	}
	var delay time.Duration
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ne, ok := err.(net.Error); !ok || !ne.Temporary() { //nolint:staticcheck // as net/http does
				return err
			}
			delay = min(max(5*time.Millisecond, 2*delay), time.Second)
			s.logf(levelWarning, "Accepting client connection: %v", err)
			select {
			case <-time.After(delay):
			case <-s.stop:
				return net.ErrClosed
			}
			continue
		}
		delay = 0
		s.tune(conn)
		if byTLS {
			s.welcome(conn)
			continue
		}
		conn = s.wrap(conn)
		if l := s.pickLoop(); l != nil && l.take(conn) {
			continue
		}
		s.serving.Add(1)
		go func() {
			defer s.serving.Done()
			s.serveConn(conn)
		}()
	}
}

// pickLoop returns the event loop that is to serve the next connection, or nil where there is none.
func (s *Server) pickLoop() *loop {
	s.eng.Enter()
	defer s.eng.Unlock()
	if len(s.loops) == 0 {
		return nil
	}
	s.nextLoop = (s.nextLoop + 1) % len(s.loops)
	return s.loops[s.nextLoop]
}

// tune sets the socket options that the configuration asks for.
func (s *Server) tune(conn net.Conn) {
	tc, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	s.eng.Enter()
	keepalive := s.cfg.TCPKeepalive
	s.eng.Unlock()
	cfg := net.KeepAliveConfig{Enable: keepalive > 0}
	if keepalive > 0 { // as Redis: give up after the time, three probes in the last third of it
		cfg.Idle = time.Duration(keepalive) * time.Second
		cfg.Interval = max(cfg.Idle/3, time.Second)
		cfg.Count = 3
	}
	tc.SetKeepAliveConfig(cfg)
}

// Start loads the data set that the configuration names and begins the background work. Serve may
// be called before: until the data is loaded, commands are answered with -LOADING.
func (s *Server) Start() error {
	err := s.users.Err()
	if err == nil {
		err = s.files.Load()
	}
	close(s.loaded)
	if err != nil {
		return err
	}
	s.eng.Lock()
	s.followConfigured()
	s.eng.Unlock()
	go s.cron()
	return nil
}

// Run starts the server, listens, and serves until Shutdown is over or ctx is done; then it shuts
// down as SIGTERM would.
func (s *Server) Run(ctx context.Context) error {
	err := s.users.Err()
	if err == nil {
		err = s.certsErr
	}
	if err != nil {
		return err
	}
	if err := s.listen(); err != nil {
		return err
	}
	s.writePidFile()
	if s.announce != nil {
		s.announce()
	}
	s.logSupervisor()
	if err := s.Start(); err != nil {
		s.removePidFile()
		return err
	}
	s.tellReady()
	go s.watch()
	select {
	case <-ctx.Done():
	case <-s.Done():
	}
	return nil
}
