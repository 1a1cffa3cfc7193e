package main

// The commands of steps 03 and 04, now over pkg/store, which is the map, the deadlines and the
// sweeper that you wrote there. What a handler returns is new, and what this step is about.

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"byor/pkg/resp"
	"byor/pkg/store"
)

// A handler appends the reply to c.w and returns the command's effect: a command that changes the
// data in the same way at whatever time it is executed. It is nil when nothing changed, because
// the command only reads or had nothing to do. A handler that fails returns the error instead of
// a reply, and has changed nothing. The arguments are valid during the call only.
type handler func(c *client, args [][]byte) (effect [][]byte, err error)

var (
	errNotInteger = errors.New("ERR value is not an integer or out of range")
	errOverflow   = errors.New("ERR increment or decrement would overflow")
	errSyntax     = errors.New("ERR syntax error")
	errDBIndex    = errors.New("ERR DB index is out of range")
)

func wrongArity(name string) error {
	return errors.New("ERR wrong number of arguments for '" + name + "' command")
}

// unknownCommand words the error as in step 02.
func unknownCommand(args [][]byte) error {
	list := ""
	for i := 1; i < len(args) && len(list) < 128; i++ {
		list += fmt.Sprintf("'%.*s' ", 128-len(list), args[i])
	}
	return fmt.Errorf("ERR unknown command '%.128s', with args beginning with: %s", args[0], list)
}

func ping(c *client, args [][]byte) ([][]byte, error) {
	switch len(args) {
	case 1:
		c.w.SimpleString("PONG")
	case 2:
		c.w.Bulk(args[1])
	default:
		return nil, wrongArity("ping")
	}
	return nil, nil
}

func echo(c *client, args [][]byte) ([][]byte, error) {
	c.w.Bulk(args[1])
	return nil, nil
}

func quit(c *client, _ [][]byte) ([][]byte, error) {
	c.w.OK()
	c.closing = true
	return nil, nil
}

// commandDocs answers COMMAND DOCS, which redis-cli asks when it starts, with an empty list.
func commandDocs(c *client, _ [][]byte) ([][]byte, error) {
	c.w.Array(0)
	return nil, nil
}

// selectDB answers SELECT index. It changes the client and not the data, so it has no effect.
func selectDB(c *client, args [][]byte) ([][]byte, error) {
	n, ok := resp.ParseInt(args[1])
	if !ok {
		return nil, errNotInteger
	}
	db := c.srv.data.DB(int(n))
	if db == nil {
		return nil, errDBIndex
	}
	c.db = db
	c.w.OK()
	return nil, nil
}

func dbsize(c *client, _ [][]byte) ([][]byte, error) {
	c.w.Int(int64(c.db.Len()))
	return nil, nil
}

// flushAll answers FLUSHALL [SYNC|ASYNC].
func flushAll(c *client, args [][]byte) ([][]byte, error) {
	c.srv.data.Flush()
	c.w.OK()
	return args, nil
}

func get(c *client, args [][]byte) ([][]byte, error) {
	value, err := store.Get[*store.String](c.db, args[1])
	if err != nil {
		return nil, err
	}
	if value == nil {
		c.w.Null()
	} else {
		c.w.Bulk(value.View())
	}
	return nil, nil
}

func exists(c *client, args [][]byte) ([][]byte, error) {
	var n int64
	for _, key := range args[1:] {
		if c.db.Lookup(key) != nil {
			n++
		}
	}
	c.w.Int(n)
	return nil, nil
}

func del(c *client, args [][]byte) ([][]byte, error) {
	var n int64
	for _, key := range args[1:] {
		if c.db.Delete(key) {
			n++
		}
	}
	c.w.Int(n)
	if n == 0 {
		return nil, nil
	}
	return args, nil
}

// incr answers INCR key. Its effect is itself: repeated in the same order, it counts the same.
func incr(c *client, args [][]byte) ([][]byte, error) {
	value, e, err := store.Edit[*store.String](c.db, args[1])
	if err != nil {
		return nil, err
	}
	if e == nil {
		value = store.NewInt(0)
		e = c.db.Set(args[1], value)
	}
	sum, isInt, ok := value.AddInt(1)
	if !isInt {
		return nil, errNotInteger
	}
	if !ok {
		return nil, errOverflow
	}
	c.db.Changed(e)
	c.w.Int(sum)
	return args, nil
}

// set answers SET key value [NX|XX] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL].
func set(c *client, args [][]byte) ([][]byte, error) {
	var exists, unit string
	var amount []byte
	keepTTL := false
	for i := 3; i < len(args); i++ {
		switch opt := strings.ToUpper(string(args[i])); {
		case (opt == "NX" || opt == "XX") && (exists == "" || exists == opt):
			exists = opt
		case opt == "KEEPTTL" && unit == "":
			keepTTL = true
		case strings.Contains(" EX PX EXAT PXAT ", " "+opt+" ") && unit == "" && !keepTTL && i+1 < len(args):
			i++
			unit, amount = opt, args[i]
		default:
			return nil, errSyntax
		}
	}
	at, err := deadline(c.srv.data.Now(), unit, amount, "set")
	if err != nil {
		return nil, err
	}
	if old := c.db.Lookup(args[1]); exists == "NX" && old != nil || exists == "XX" && old == nil {
		c.w.Null()
		return nil, nil // nothing changed: no effect
	}
	e := c.db.SetString(args[1], args[2], keepTTL)
	c.w.OK()
	if unit == "" {
		return args, nil
	}
	c.db.SetExpire(e, at)
	return [][]byte{[]byte("SET"), args[1], args[2], []byte("PXAT"), strconv.AppendInt(nil, at, 10)}, nil
}

// expire answers EXPIRE key s, PEXPIRE key ms, EXPIREAT key s and PEXPIREAT key ms.
func expire(c *client, args [][]byte) ([][]byte, error) {
	if len(args) > 3 {
		return nil, fmt.Errorf("ERR Unsupported option %s", args[3])
	}
	name := strings.ToLower(string(args[0]))
	unit := map[string]string{"expire": "EX", "pexpire": "PX", "expireat": "EXAT", "pexpireat": "PXAT"}[name]
	at, err := deadline(c.srv.data.Now(), unit, args[2], name)
	if err != nil {
		return nil, err
	}
	e := c.db.Lookup(args[1])
	if e == nil {
		c.w.Int(0)
		return nil, nil
	}
	c.w.Int(1)
	if at <= c.srv.data.Now() && c.srv.data.Expiry == store.DeleteExpired {
		c.db.Remove(e) // a time that has passed is another way to say DEL
		return [][]byte{[]byte("DEL"), args[1]}, nil
	}
	c.db.SetExpire(e, at)
	return [][]byte{[]byte("PEXPIREAT"), args[1], strconv.AppendInt(nil, at, 10)}, nil
}

// deadline turns an amount of EX, PX, EXAT or PXAT into Unix milliseconds. An effect must have it
// in this form: "EX 60" in a log means another minute each time the log is executed, and a key whose
// time ran out yesterday would live again after every restart. Without a unit it returns 0.
func deadline(nowMs int64, unit string, amount []byte, name string) (int64, error) {
	if unit == "" {
		return 0, nil
	}
	n, ok := resp.ParseInt(amount)
	if !ok {
		return 0, errNotInteger
	}
	seconds, relative := strings.HasPrefix(unit, "EX"), !strings.HasSuffix(unit, "AT")
	bad := n <= 0 && name == "set" || seconds && (n > math.MaxInt64/1000 || n < math.MinInt64/1000)
	if seconds {
		n *= 1000
	}
	if bad || relative && n > math.MaxInt64-nowMs {
		return 0, fmt.Errorf("ERR invalid expire time in '%s' command", name)
	}
	if relative {
		n += nowMs
	}
	return n, nil
}

// ttl answers TTL key and PTTL key.
func ttl(c *client, args [][]byte) ([][]byte, error) {
	e := c.db.Peek(args[1])
	switch {
	case e == nil:
		c.w.Int(-2)
	case !e.HasExpiry():
		c.w.Int(-1)
	case len(args[0]) == len("PTTL"):
		c.w.Int(c.db.ExpireAt(e) - c.srv.data.Now())
	default:
		c.w.Int((c.db.ExpireAt(e) - c.srv.data.Now() + 500) / 1000)
	}
	return nil, nil
}

func persist(c *client, args [][]byte) ([][]byte, error) {
	if e := c.db.Lookup(args[1]); e == nil || !c.db.Persist(e) {
		c.w.Int(0)
		return nil, nil
	}
	c.w.Int(1)
	return args, nil
}
