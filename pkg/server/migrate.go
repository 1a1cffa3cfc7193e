package server

import (
	"math"
	"time"

	"byor/pkg/engine"
	"byor/pkg/migrate"
	"byor/pkg/rdb"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// MIGRATE: keys go to another server, and are deleted here once it has said that it has them. Nothing is lost
// whatever happens on the way: where no answer comes, the key stays.
//
// Redis serves nobody meanwhile. Here only the client waits, and whoever wants to write, as during CLIENT PAUSE
// WRITE: what was sent must not change before it is deleted. Others can read, which is also why they may see a
// key here for a moment when it has arrived there. Inside a transaction or a script nobody can wait, so there the
// whole server does, as Redis does.

func init() {
	engine.Register("generic", []engine.Command{
		{Name: "migrate", Arity: -6, Flags: engine.Write | engine.MovableKeys, Keys: engine.At(3, 3, 1), KeysOf: migratedKeys, Event: "-", Handler: by(cmdMigrate)},
	})
}

// migratedKeys returns where MIGRATE has its keys: as the third argument, or behind KEYS.
func migratedKeys(args [][]byte) []int {
	for i := 6; i < len(args); i++ {
		switch {
		case engine.EqualFold(args[i], "auth"):
			i++
		case engine.EqualFold(args[i], "auth2"):
			i += 2
		case engine.EqualFold(args[i], "keys"):
			if len(args[3]) > 0 {
				return nil // a syntax error
			}
			var pos []int
			for i++; i < len(args); i++ {
				pos = append(pos, i)
			}
			return pos
		}
	}
	return []int{3}
}

// migration is a MIGRATE under way.
type migration struct {
	request migrate.Request
	keep    bool // COPY
	entries []*store.Entry
	roles   int // of the server when it began

	done  bool // what follows is valid
	taken []bool
	err   error
}

// parseMigrate reads the arguments. keys are those that are named.
func parseMigrate(c *client) (m *migration, keys [][]byte, ok bool) {
	m = &migration{roles: c.s.roles}
	keys = c.Args[3:4]
options:
	for i := 6; i < len(c.Args); i++ {
		left := len(c.Args) - i - 1
		switch {
		case c.Is(i, "copy"):
			m.keep = true
		case c.Is(i, "replace"):
			m.request.Replace = true
		case c.Is(i, "auth") && left >= 1:
			m.request.Auth = c.Args[i+1 : i+2]
			c.Hide(i + 1)
			i++
		case c.Is(i, "auth2") && left >= 2:
			m.request.Auth = c.Args[i+1 : i+3]
			c.Hide(i+1, i+2)
			i += 2
		case c.Is(i, "keys"):
			if len(c.Args[3]) > 0 {
				c.Fail("ERR When using MIGRATE KEYS option, the key argument must be set to the empty string")
				return nil, nil, false
			}
			keys = c.Args[i+1:]
			break options
		default:
			c.Fail(engine.ErrSyntax)
			return nil, nil, false
		}
	}
	return m, keys, m.parseNumbers(c)
}

// parseNumbers reads the time-out and whom to connect to.
func (m *migration) parseNumbers(c *client) bool {
	ms, ok := c.IntArg(5)
	if !ok {
		return false
	}
	if m.request.DB, ok = c.IntArg(4); !ok {
		return false
	}
	if ms <= 0 {
		ms = 1000
	}
	m.request.Dial = c.s.dialOther()
	m.request.Timeout = time.Duration(min(ms, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
	m.request.Host, m.request.Port = string(c.Args[1]), "0" // which nobody listens on
	if _, ok := resp.ParseInt(c.Args[2]); ok {
		m.request.Port = string(c.Args[2])
	}
	return true
}

func cmdMigrate(c *client) {
	m, keys, ok := parseMigrate(c)
	if !ok {
		return
	}
	m.pack(c, keys)
	if len(m.entries) == 0 {
		c.Reply.SimpleString("NOKEY")
		return
	}
	s := c.s
	if !c.MayBlock() {
		m.taken, m.err = s.migrations.Send(m.request)
		m.finish(&c.Call)
		return
	}
	m.request.Auth = engine.CopyArgs(m.request.Auth)
	wait := engine.Wait{Poll: func(call *engine.Call) bool {
		if m.done {
			m.finish(call)
			s.eng.AccountWait(&c.Session, c.Blocked, c.Failed())
		}
		return m.done
	}}
	c.Block(wait, nil)
	s.migrating = true
	s.eng.SetPause(engine.ByMigration, engine.Pause{UntilMs: math.MaxInt64})
	b := c.Blocked
	go func() {
		taken, err := s.migrations.Send(m.request)
		s.eng.Lock()
		defer s.eng.Unlock()
		s.eng.Tick()
		m.done, m.taken, m.err = true, taken, err
		s.endMigration(c, m, b)
	}()
}

// pack takes the keys that are there.
func (m *migration) pack(c *client, keys [][]byte) {
	for _, key := range keys {
		e := c.DB.Lookup(key)
		if !c.Found(key, e != nil) {
			continue
		}
		k := migrate.Key{Name: []byte(e.Key()), Payload: rdb.Dump(e.Value())}
		if e.HasExpiry() {
			k.TTLMs = max(1, c.DB.ExpireAt(e)-c.NowMs())
		}
		m.request.Keys = append(m.request.Keys, k)
		m.entries = append(m.entries, e)
	}
}

// endMigration lets the client have its reply. If it has left or was told something else meanwhile, what the other
// server has taken is deleted all the same.
func (s *Server) endMigration(c *client, m *migration, b *engine.Wait) {
	if c.Blocked == b {
		s.eng.PollBlocked()
	} else {
		m.finish(&c.Call)
		c.Reply.Buf = c.Reply.Buf[:0]
		s.eng.EndUnit()
	}
	s.migrating = false
	s.eng.SetPause(engine.ByMigration, engine.Pause{})
	s.eng.ServeReady()
}

// finish deletes what the other server has taken, and replies. What is not what was sent any more, because the
// data were replaced as a whole, is left alone.
func (m *migration) finish(c *engine.Call) {
	s := clientOf(c.Session()).s
	effect := [][]byte{[]byte("DEL")}
	for i, k := range m.request.Keys {
		if m.taken[i] && !m.keep && s.roles == m.roles && !s.down.closed && c.DB.Peek(k.Name) == m.entries[i] {
			if c.Del(k.Name) {
				effect = append(effect, k.Name)
			}
		}
	}
	if len(effect) > 1 {
		c.Replicate(effect...)
	}
	if m.err != nil {
		c.Fail(m.err.Error())
		return
	}
	c.Reply.OK()
}
