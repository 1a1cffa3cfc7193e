package commands

import (
	"byor/pkg/engine"
	"byor/pkg/store"
)

// xgroup finds the stream and group that an XGROUP subcommand is about. It replies the error and
// reports false when the stream is not there. The group may be nil.
func xgroup(c *engine.Call) (s *store.Stream, e *store.Entry, g *store.Group, ok bool) {
	s, e, ok = engine.Edit[*store.Stream](c, c.Args[2])
	if !ok {
		return nil, nil, nil, false
	}
	if e == nil {
		c.Fail("ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.")
		return nil, nil, nil, false
	}
	return s, e, s.Group(c.Args[3]), true
}

// xgroupExisting is xgroup where the group must be there, too.
func xgroupExisting(c *engine.Call) (s *store.Stream, e *store.Entry, g *store.Group, ok bool) {
	if s, e, g, ok = xgroup(c); ok && g == nil {
		failNoGroup(c, c.Args[2], c.Args[3])
		ok = false
	}
	return s, e, g, ok
}

func failNoGroup(c *engine.Call, key, group []byte) {
	c.Fail("NOGROUP No such consumer group '" + engine.Quoted(group) + "' for key name '" + engine.Quoted(key) + "'")
}

// parseXgroup parses the options of XGROUP CREATE and SETID.
func parseXgroup(c *engine.Call, create bool) (makeStream bool, entriesRead int64, ok bool) {
	entriesRead = store.UnknownRead
	for i := 5; i < len(c.Args); i++ {
		switch {
		case create && c.Is(i, "mkstream"):
			makeStream = true
		case c.Is(i, "entriesread") && i+1 < len(c.Args):
			i++
			if entriesRead, ok = c.IntArg(i); !ok {
				return false, 0, false
			}
			if entriesRead < 0 && entriesRead != store.UnknownRead {
				c.Fail("ERR value for ENTRIESREAD must be positive or -1")
				return false, 0, false
			}
		default:
			c.FailSubcommand()
			return false, 0, false
		}
	}
	return makeStream, entriesRead, true
}

func cmdXgroupCreate(c *engine.Call) {
	makeStream, entriesRead, ok := parseXgroup(c, true)
	if !ok {
		return
	}
	var s *store.Stream
	var e *store.Entry
	if makeStream {
		s, e, ok = engine.EditOrCreate(c, c.Args[2], store.NewStream)
	} else {
		s, e, _, ok = xgroup(c)
	}
	if !ok {
		return
	}
	if len(c.Args) > 8 {
		c.FailSubcommand()
		return
	}
	id := s.Last()
	if engine.Quoted(c.Args[4]) != "$" {
		if id, ok = streamID(c, 4, 0); !ok {
			return
		}
	}
	if s.AddGroup(c.Args[3], id, entriesRead) == nil {
		c.Fail("BUSYGROUP Consumer Group name already exists")
		return
	}
	if e == nil {
		c.Set(c.Args[2], s)
	} else {
		c.ChangedQuietly(e)
		c.Tell(engine.ClassStream, "xgroup-create", c.Args[2])
	}
	c.Reply.OK()
}

func cmdXgroupSetid(c *engine.Call) {
	_, entriesRead, ok := parseXgroup(c, false)
	if !ok {
		return
	}
	s, e, g, ok := xgroupExisting(c)
	if !ok {
		return
	}
	if len(c.Args) != 5 && len(c.Args) != 7 {
		c.FailSubcommand()
		return
	}
	id := s.Last()
	if engine.Quoted(c.Args[4]) != "$" {
		var edge bool
		if id, edge = edgeID(c.Args[4]); !edge {
			if id, ok = streamID(c, 4, 0); !ok {
				return
			}
		}
	}
	g.Last, g.EntriesRead = id, entriesRead
	c.ChangedQuietly(e)
	c.Tell(engine.ClassStream, "xgroup-setid", c.Args[2])
	c.Reply.OK()
}

func cmdXgroupDestroy(c *engine.Call) {
	s, e, g, ok := xgroup(c)
	if !ok {
		return
	}
	if g == nil {
		c.Reply.Int(0)
		return
	}
	s.DeleteGroup(c.Args[3])
	c.ChangedQuietly(e)
	c.Tell(engine.ClassStream, "xgroup-destroy", c.Args[2])
	c.WakeWaiting(e.Key()) // those that wait in it are told that it is gone
	c.Reply.Int(1)
}

func cmdXgroupCreateconsumer(c *engine.Call) {
	_, e, g, ok := xgroupExisting(c)
	if !ok {
		return
	}
	if g.AddConsumer(c.Args[4], c.NowMs()) == nil {
		c.Reply.Int(0)
		return
	}
	c.ChangedQuietly(e)
	c.Tell(engine.ClassStream, "xgroup-createconsumer", c.Args[2])
	c.Reply.Int(1)
}

func cmdXgroupDelconsumer(c *engine.Call) {
	_, e, g, ok := xgroupExisting(c)
	if !ok {
		return
	}
	pending, existed := g.DeleteConsumer(c.Args[4])
	if existed {
		c.ChangedQuietly(e)
		c.Tell(engine.ClassStream, "xgroup-delconsumer", c.Args[2])
	}
	c.Reply.Int(int64(pending))
}

func cmdXgroupHelp(c *engine.Call) {
	c.Help(
		"CREATE <key> <groupname> <id|$> [option]", "    Create a new consumer group. Options are:",
		"    * MKSTREAM", "      Create the empty stream if it does not exist.",
		"    * ENTRIESREAD entries_read", "      Set the group's entries_read counter (internal use).",
		"CREATECONSUMER <key> <groupname> <consumer>", "    Create a new consumer in the specified group.",
		"DELCONSUMER <key> <groupname> <consumer>", "    Remove the specified consumer.",
		"DESTROY <key> <groupname>", "    Remove the specified group.",
		"SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]", "    Set the current group ID and entries_read counter.",
	)
}

func cmdXack(c *engine.Call) {
	s, e, ok := engine.FetchEdit[*store.Stream](c, c.Args[1])
	if !ok {
		return
	}
	if e == nil || s.Group(c.Args[2]) == nil {
		c.Reply.Int(0)
		return
	}
	ids, ok := streamIDs(c, 3)
	if !ok {
		return
	}
	g, n := s.Group(c.Args[2]), 0
	for _, id := range ids {
		n += btoi(g.Ack(id))
	}
	if n > 0 {
		c.ChangedQuietly(e)
		c.Counts(n)
	}
	c.Reply.Int(int64(n))
}

// groupOf finds the stream of argument 1 and the group of argument 2, for writing. It replies the
// error and reports false when one is not there.
func groupOf(c *engine.Call) (s *store.Stream, e *store.Entry, g *store.Group, ok bool) {
	s, e, ok = engine.FetchEdit[*store.Stream](c, c.Args[1])
	if !ok {
		return nil, nil, nil, false
	}
	if e != nil {
		g = s.Group(c.Args[2])
	}
	if g == nil {
		c.Fail("NOGROUP No such key '" + engine.Quoted(c.Args[1]) + "' or consumer group '" + engine.Quoted(c.Args[2]) + "'")
		return nil, nil, nil, false
	}
	return s, e, g, true
}
