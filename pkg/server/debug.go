package server

import (
	"fmt"
	"math"
	"strings"
	"time"

	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/persist"
	"byor/pkg/rdb"
	"byor/pkg/repl"
	"byor/pkg/resp"
	"byor/pkg/store"
)

func init() {
	engine.Register("server", []engine.Command{
		{Name: "debug", Arity: -2, Flags: engine.Admin | engine.NoScript | engine.Loading | engine.Stale | engine.Protected, Event: "-", Handler: by(cmdDebug)},
	})
}

// debugSubcommands are what Redis's own tests lean on. They do not stand in the command table, as
// in Redis: DEBUG is one command.
var debugSubcommands map[string]debugSubcommand

type debugSubcommand struct {
	args int // with DEBUG and the subcommand; negative: at least
	run  func(c *client)
}

func init() {
	debugSubcommands = map[string]debugSubcommand{
		"sleep":                      {3, debugSleep},
		"set-active-expire":          {3, debugSetActiveExpire},
		"object":                     {-3, debugObject},
		"log":                        {3, func(c *client) { c.s.logf(levelWarning, "DEBUG LOG: %s", c.Args[2]); c.Reply.OK() }},
		"error":                      {3, func(c *client) { c.Reply.Error(strings.TrimSpace(string(c.Args[2]))) }},
		"protocol":                   {3, debugProtocol},
		"jmap":                       {2, func(c *client) { c.Reply.OK() }},
		"set-disable-deny-scripts":   {3, debugInScripts},
		"change-repl-id":             {2, debugChangeReplID},
		"pause-cron":                 {3, debugPauseCron},
		"quicklist-packed-threshold": {3, debugQuicklistThreshold},
		"htstats":                    {-3, debugHtstats},
		"reload":                     {-2, func(c *client) { persist.DebugReload(&c.Call) }},
		"loadaof":                    {2, func(c *client) { persist.DebugLoadAOF(&c.Call) }},
		"digest":                     {2, debugDigest},
		"digest-value":               {-2, debugDigestValue},
		"populate":                   {-3, debugPopulate},
		"help":                       {2, debugHelp},
	}
}

func cmdDebug(c *client) {
	c.ReplicateNothing()
	name := strings.ToLower(engine.Quoted(c.Args[1]))
	sub, ok := debugSubcommands[name]
	if n := len(c.Args); !ok || sub.args > 0 && n != sub.args || n < -sub.args {
		c.FailSubcommand()
		return
	}
	if c.Has(engine.ModeScript) && (name == "reload" || name == "loadaof") {
		c.Fail("ERR The data can't be replaced while a script works on it")
		return
	}
	sub.run(c)
}

// debugSleep stalls the whole server, which is its purpose.
func debugSleep(c *client) {
	f, ok := engine.ParseFloat(c.Args[2])
	if !ok {
		f = 0
	}
	time.Sleep(time.Duration(f * float64(time.Second)))
	c.Reply.OK()
}

func debugSetActiveExpire(c *client) {
	c.s.eng.NoActiveExpire = string(c.Args[2]) == "0"
	c.Reply.OK()
}

// debugInScripts lets scripts run DEBUG. Redis lets them run everything then.
func debugInScripts(c *client) {
	c.s.eng.DebugInScripts = string(c.Args[2]) != "0"
	c.Reply.OK()
}

// debugPopulate makes string keys, which are not propagated.
func debugPopulate(c *client) {
	n, ok := c.RangeArg(2, 0, math.MaxInt64, engine.ErrNotPositive)
	if !ok {
		return
	}
	prefix, size := "key", 0
	if len(c.Args) > 3 {
		prefix = string(c.Args[3])
	}
	if len(c.Args) > 4 {
		if size, ok = c.RangeArg(4, 0, 512<<20, engine.ErrNotPositive); !ok {
			return
		}
	}
	defer func(dirty int64) { c.s.eng.Changes = dirty }(c.s.eng.Changes) // they count as no changes
	for i := range n {
		key := []byte(prefix + ":" + itoa(i))
		if c.DB.Peek(key) != nil {
			continue
		}
		value := []byte("value:" + itoa(i))
		if size > 0 {
			value = append(value, make([]byte, size)...)[:size]
		}
		c.Set(key, store.NewString(value))
	}
	c.Reply.OK()
}

func debugHelp(c *client) {
	c.Help(
		"CHANGE-REPL-ID", "    Change the replication IDs of the instance.", "    Dangerous: should be used only for testing the replication subsystem.",
		"DIGEST", "    Output a hex signature representing the current DB content.",
		"DIGEST-VALUE <key> [<key> ...]", "    Output a hex signature of the values of all the specified keys.",
		"ERROR <string>", "    Return a Redis protocol error with <string> as message. Useful for clients", "    unit tests to simulate Redis errors.",
		"LOG <message>", "    Write <message> to the server log.",
		"HTSTATS <dbid>", "    Return hash table statistics of the specified Redis database.",
		"LOADAOF", "    Flush the AOF buffers on disk and reload the AOF in memory.",
		"OBJECT <key>", "    Show low level info about `key` and associated value.",
		"POPULATE <count> [<prefix>] [<size>]", "    Create <count> string keys named key:<num>. If <prefix> is specified then", "    it is used instead of the 'key' prefix. These are not propagated to", "    replicas. Cluster slots are not respected so keys not belonging to the", "    current node can be created in cluster mode.",
		"PROTOCOL <type>", "    Reply with a test value of the specified type. <type> can be: string,", "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,", "    true, false.",
		"RELOAD [option ...]", "    Save the RDB on disk and reload it back to memory. Valid <option> values:", "    * MERGE: conflicting keys will be loaded from RDB.", "    * NOFLUSH: the existing database will not be removed before load, but", "      conflicting keys will generate an exception and kill the server.", "    * NOSAVE: the database will be loaded from an existing RDB file.", "    Examples:", "    * DEBUG RELOAD: verify that the server is able to persist, flush and reload", "      the database.", "    * DEBUG RELOAD NOSAVE: replace the current database with the contents of an", "      existing RDB file.", "    * DEBUG RELOAD NOSAVE NOFLUSH MERGE: add the contents of an existing RDB", "      file to the database.",
		"SET-ACTIVE-EXPIRE <0|1>", "    Setting it to 0 disables expiring keys in background when they are not", "    accessed (otherwise the Redis behavior). Setting it to 1 reenables back the", "    default.",
		"QUICKLIST-PACKED-THRESHOLD <size>", "    Sets the threshold for elements to be inserted as plain vs packed nodes", "    Default value is 1GB, allows values up to 4GB. Setting to 0 restores to default.",
		"SLEEP <seconds>", "    Stop the server for <seconds>. Decimals allowed.",
		"PAUSE-CRON <0|1>", "    Stop periodic cron job processing.",
	)
}

func debugPauseCron(c *client) {
	c.s.cronPaused = string(c.Args[2]) == "1"
	c.Reply.OK()
}

// debugObject shows a key that has expired and was not deleted yet, too.
func debugObject(c *client) {
	st := c.s.eng.Store
	was := st.Expiry
	st.Expiry = store.KeepExpired
	e := c.DB.Peek(c.Args[2])
	st.Expiry = was
	if e == nil {
		c.Fail(engine.ErrNoKey)
		return
	}
	idle := uint32(c.s.eng.NowMs/1000) - e.AccessSec()
	c.Reply.SimpleString(fmt.Sprintf("Value at:%p refcount:1 encoding:%s serializedlength:%d lru:%d lru_seconds_idle:%d",
		e, e.Value().Encoding(), rdb.EncodedLen(e.Value()), e.AccessSec()&(1<<24-1), idle))
}

func debugChangeReplID(c *client) {
	c.s.master.History((*repl.History).Disown)
	c.Reply.OK()
}

func debugHtstats(c *client) {
	var b strings.Builder
	for i := range c.s.eng.Store.Len() {
		db := c.s.eng.Store.DB(i)
		fmt.Fprintf(&b, "[Dictionary HT]\nDatabase %d: %d keys, %d with a deadline\n", i, db.Len(), db.Expires())
	}
	c.Reply.Verbatim("txt", b.String())
}

// debugProtocol replies each type once, for tests of client libraries.
func debugProtocol(c *client) {
	reply := protocolReplies[strings.ToLower(string(c.Args[2]))]
	if reply == nil {
		c.Fail("ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false")
		return
	}
	reply(c, &c.Reply)
}

var protocolReplies = map[string]func(c *client, w *resp.Writer){
	"string":   func(_ *client, w *resp.Writer) { w.BulkString("Hello World") },
	"integer":  func(_ *client, w *resp.Writer) { w.Int(12345) },
	"double":   func(_ *client, w *resp.Writer) { w.Double(3.141) },
	"null":     func(_ *client, w *resp.Writer) { w.Null() },
	"array":    func(_ *client, w *resp.Writer) { w.Array(3); threeNumbers(w) },
	"set":      func(_ *client, w *resp.Writer) { w.Set(3); threeNumbers(w) },
	"bignum":   func(_ *client, w *resp.Writer) { w.BigNumber("1234567999999999999999999999999999999") },
	"true":     func(_ *client, w *resp.Writer) { w.Bool(true) },
	"false":    func(_ *client, w *resp.Writer) { w.Bool(false) },
	"verbatim": func(_ *client, w *resp.Writer) { w.Verbatim("txt", "This is a verbatim\nstring") },
	"map": func(_ *client, w *resp.Writer) {
		w.Map(3)
		for i := range 3 {
			w.Int(int64(i))
			w.Bool(i == 1)
		}
	},
	"attrib": func(_ *client, w *resp.Writer) {
		if w.Proto == 3 {
			w.Attribute(1)
			w.BulkString("key-popularity")
			w.Array(2)
			w.BulkString("key:123")
			w.Int(90)
		}
		w.BulkString("Some real reply following the attribute")
	},
	"push": func(c *client, w *resp.Writer) {
		if w.Proto != 3 {
			c.Fail("ERR RESP2 is not supported by this command")
			return
		}
		w.Push(2)
		w.BulkString("server-cpu-usage")
		w.Int(42)
		w.BulkString("Some real reply following the push reply")
	},
}

func threeNumbers(w *resp.Writer) {
	for i := range 3 {
		w.Int(int64(i))
	}
}

func debugQuicklistThreshold(c *client) {
	const most = 1<<32 - 1<<20 // "slightly below 4gb" in Redis
	n, err := config.Memory(string(c.Args[2]))
	if err != nil || n > most {
		c.Fail("ERR argument must be a memory value bigger than 1 and smaller than 4gb")
		return
	}
	if n == 0 {
		n = store.DefaultListPackedThreshold
	}
	store.Encodings.ListPackedThreshold.Store(int64(n))
	c.Reply.OK()
}

func debugDigest(c *client) { c.Reply.SimpleString(c.s.eng.Store.Digest().String()) }

func debugDigestValue(c *client) {
	c.Reply.Array(len(c.Args) - 2)
	for _, key := range c.Args[2:] {
		var d store.Digest
		if e := c.DB.Peek(key); e != nil {
			d = c.DB.ValueDigest(e)
		}
		c.Reply.SimpleString(d.String())
	}
}
