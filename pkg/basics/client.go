package basics

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"

	"byor/pkg/repl"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// maxReplies is how many bytes of replies may pile up before they are sent, as in step 03.
const maxReplies = 64 << 10

// Client is what the known commands need of a connection. The client type of a step embeds it, and adds
// what is new there. Only the connection's own goroutine uses it.
type Client struct {
	DB      *store.DB    // what SELECT chose
	W       *resp.Writer // replies are appended here and leave when the batch is done
	Closing bool         // set by QUIT: the connection ends behind the replies
	Disk    *Disk        // the server's log and snapshots, from step 07 on
	Conn    net.Conn     // from step 08 on; nil for who is no client: a log, a master
	Sub     *Subscriber  // its subscriptions, nil where there is no Conn

	// From step 09 on:
	Replicas *Replicas     // the server's
	Replica  *repl.Replica // what this one is to them, from its first REPLCONF on
	Synced   bool          // from PSYNC on: this is the link to a replica
}

func (c *Client) known() *Client { return c }

// A Command is what a table knows about a command, apart from its name, which is in lower case.
type Command[C interface{ known() *Client }] struct {
	Arity int    // the number of arguments with the name; a negative one is a minimum
	Flags string // w: changes data, s: allowed to a subscriber, r: and to a replica
	// Run appends the reply to the client's W and returns the effect, or fails: see Handler.
	Run func(c C, args [][]byte) (effect [][]byte, err error)
}

// A Table is a dispatch table for clients of type C, which embeds Client.
type Table[C interface{ known() *Client }] map[string]Command[C]

// Extend adds the known commands to a step's own table and returns it. What the step has itself stays.
func Extend[C interface{ known() *Client }](own Table[C], known ...Table[*Client]) Table[C] {
	for _, table := range known {
		for name, cmd := range table {
			if _, ok := own[name]; !ok {
				run := func(c C, args [][]byte) ([][]byte, error) { return cmd.Run(c.known(), args) }
				own[name] = Command[C]{cmd.Arity, cmd.Flags, run}
			}
		}
	}
	return own
}

// Find returns the command that args call. It is an error if there is none, if the number of arguments
// is wrong, or if c listens to a channel and must not use it.
func (t Table[C]) Find(c C, args [][]byte) (Command[C], error) {
	name := strings.ToLower(string(args[0]))
	cmd, ok := t[name]
	switch n := len(args); {
	case !ok:
		return cmd, UnknownCommand(args)
	case n != cmd.Arity && (cmd.Arity >= 0 || n < -cmd.Arity):
		return cmd, WrongArity(name)
	case c.known().Sub.Count() > 0 && !cmd.Has('s'):
		return cmd, WhileSubscribed(name)
	}
	return cmd, nil
}

// Run executes the command that args call at this moment, and hands its effect to propagate. What is wrong
// with it becomes the reply. The caller holds the lock.
func (t Table[C]) Run(c C, args [][]byte, propagate func(db int, effect [][]byte)) {
	cmd, err := t.Find(c, args)
	if err != nil {
		c.known().W.Error(err.Error())
		return
	}
	cmd.Call(c, args, propagate)
}

// Has reports whether flag is among the command's flags.
func (c Command[C]) Has(flag byte) bool { return strings.IndexByte(c.Flags, flag) >= 0 }

// WhileSubscribed is the error for a command, named in lower case, that is not for subscribers.
func WhileSubscribed(name string) error {
	return errors.New("ERR Can't execute '" + name + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
}

// Serve serves one client, as in step 03: whole commands first, and when there are no more, the replies
// to all of them. It returns when the client is gone, or when Closing is set.
func (c *Client) Serve(conn io.Reader, execute func(args [][]byte), reply func() error) {
	for r := resp.NewCommandReader(conn); !c.Closing; {
		args, err := r.Next()
		if err == resp.ErrIncomplete {
			if reply() != nil || r.Fill() != nil {
				return
			}
			continue
		}
		if err != nil {
			c.W.Error("ERR " + err.Error()) // a protocol error: say it, and close
			break
		}
		execute(args)
		if c.W.Len() > maxReplies && reply() != nil {
			return
		}
	}
	reply()
}

// Reply sends the replies gathered so far, once the log has all that they promise. Those of an active
// subscriber go into its queue.
func (c *Client) Reply() error {
	if c.Sub.Active() {
		c.Disk.Mu.Lock()
		defer c.Disk.Mu.Unlock()
		c.Sub.Reply(c.W)
		return nil
	}
	c.Disk.Commit()
	return c.W.Flush()
}

// OnData are the commands of steps 02 to 05.
var OnData = Table[*Client]{
	"ping": {-1, "s", ping}, "echo": {2, "", echo}, "quit": {-1, "s", quit}, "command": {-1, "", commandDocs}, "select": {2, "", selectDB},
	"dbsize": {1, "", on(DBSize)}, "flushall": {-1, "w", on(FlushAll)}, "get": {2, "", on(Get)}, "set": {-3, "w", on(Set)},
	"del": {-2, "w", on(Del)}, "exists": {-2, "", on(Exists)}, "incr": {2, "w", on(Incr)},
	"expire": {-3, "w", on(Expire)}, "pexpire": {-3, "w", on(Expire)}, "expireat": {-3, "w", on(Expire)}, "pexpireat": {-3, "w", on(Expire)},
	"ttl": {2, "", on(TTL)}, "pttl": {2, "", on(TTL)}, "persist": {2, "w", on(Persist)},
}

// on makes a command of a handler that knows no clients, only the database that the client has chosen.
func on(h Handler) func(*Client, [][]byte) ([][]byte, error) {
	return func(c *Client, args [][]byte) ([][]byte, error) { return h(c.DB, c.W, args) }
}

// ping answers PING [message]. For a subscriber, all replies are arrays.
func ping(c *Client, args [][]byte) ([][]byte, error) {
	switch {
	case len(args) > 2:
		return nil, WrongArity("ping")
	case c.Sub.Count() > 0:
		c.W.Array(2)
		c.W.BulkString("pong")
		c.W.Bulk(bytes.Join(args[1:], nil))
	case len(args) == 2:
		c.W.Bulk(args[1])
	default:
		c.W.SimpleString("PONG")
	}
	return nil, nil
}

func echo(c *Client, args [][]byte) ([][]byte, error) {
	c.W.Bulk(args[1])
	return nil, nil
}

func quit(c *Client, _ [][]byte) ([][]byte, error) {
	c.W.OK()
	c.Closing = true
	return nil, nil
}

// commandDocs answers COMMAND DOCS, which redis-cli asks when it starts, with an empty list.
func commandDocs(c *Client, _ [][]byte) ([][]byte, error) {
	c.W.Array(0)
	return nil, nil
}

// selectDB answers SELECT index. It changes the client and not the data, so it has no effect.
func selectDB(c *Client, args [][]byte) ([][]byte, error) {
	db, err := Select(c.DB.Store(), args[1])
	if err != nil {
		return nil, err
	}
	c.DB = db
	c.W.OK()
	return nil, nil
}
