package basics

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"byor/pkg/resp"
	"byor/pkg/store"
)

// DBSize answers DBSIZE. Keys whose time is over count until they are deleted, as in Redis.
func DBSize(db *store.DB, w *resp.Writer, _ [][]byte) ([][]byte, error) {
	w.Int(int64(db.Len()))
	return nil, nil
}

// FlushAll answers FLUSHALL [SYNC|ASYNC].
func FlushAll(db *store.DB, w *resp.Writer, args [][]byte) ([][]byte, error) {
	db.Store().Flush()
	w.OK()
	return args, nil
}

// Get answers GET key.
func Get(db *store.DB, w *resp.Writer, args [][]byte) ([][]byte, error) {
	value, err := store.Get[*store.String](db, args[1])
	if err != nil {
		return nil, err
	}
	if value == nil {
		w.Null()
	} else {
		w.Bulk(value.View())
	}
	return nil, nil
}

// Exists answers EXISTS key [key ...]. A key named twice counts twice.
func Exists(db *store.DB, w *resp.Writer, args [][]byte) ([][]byte, error) {
	var n int64
	for _, key := range args[1:] {
		if db.Lookup(key) != nil {
			n++
		}
	}
	w.Int(n)
	return nil, nil
}

// Del answers DEL key [key ...].
func Del(db *store.DB, w *resp.Writer, args [][]byte) ([][]byte, error) {
	var n int64
	for _, key := range args[1:] {
		if db.Delete(key) {
			n++
		}
	}
	w.Int(n)
	if n == 0 {
		return nil, nil
	}
	return args, nil
}

// Incr answers INCR key. Its effect is itself: repeated in the same order, it counts the same.
func Incr(db *store.DB, w *resp.Writer, args [][]byte) ([][]byte, error) {
	sum, _, err := db.AddInt(args[1], 1)
	if err != nil {
		return nil, err
	}
	w.Int(sum)
	return args, nil
}

// Set answers SET key value [NX|XX] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL].
func Set(db *store.DB, w *resp.Writer, args [][]byte) ([][]byte, error) {
	var exists, unit string
	var amount []byte
	keepTTL := false
	for i := 3; i < len(args); i++ {
		switch opt := strings.ToUpper(string(args[i])); {
		case (opt == "NX" || opt == "XX") && (exists == "" || exists == opt):
			exists = opt
		case opt == "KEEPTTL" && unit == "":
			keepTTL = true
		case strings.Contains(" EX PX EXAT PXAT ", " "+opt+" ") && (unit == "" || unit == opt) && !keepTTL && i+1 < len(args):
			i++
			unit, amount = opt, args[i]
		default:
			return nil, ErrSyntax
		}
	}
	at, err := deadline(db.Store().Now(), unit, amount, "set")
	if err != nil {
		return nil, err
	}
	if old := db.Lookup(args[1]); exists == "NX" && old != nil || exists == "XX" && old == nil {
		w.Null()
		return nil, nil // nothing changed: no effect
	}
	e := db.SetString(args[1], args[2], keepTTL)
	w.OK()
	if unit == "" {
		return args, nil
	}
	db.SetExpire(e, at)
	return [][]byte{[]byte("SET"), args[1], args[2], []byte("PXAT"), strconv.AppendInt(nil, at, 10)}, nil
}

// Expire answers EXPIRE key s, PEXPIRE key ms, EXPIREAT key s and PEXPIREAT key ms.
func Expire(db *store.DB, w *resp.Writer, args [][]byte) ([][]byte, error) {
	if len(args) > 3 {
		return nil, fmt.Errorf("ERR Unsupported option %s", args[3])
	}
	name := strings.ToLower(string(args[0]))
	unit := map[string]string{"expire": "EX", "pexpire": "PX", "expireat": "EXAT", "pexpireat": "PXAT"}[name]
	at, err := deadline(db.Store().Now(), unit, args[2], name)
	if err != nil {
		return nil, err
	}
	e := db.Lookup(args[1])
	if e == nil {
		w.Int(0)
		return nil, nil
	}
	w.Int(1)
	if at <= db.Store().Now() && db.Store().Expiry == store.DeleteExpired {
		db.Remove(e) // a time that has passed is another way to say DEL
		return [][]byte{[]byte("DEL"), args[1]}, nil
	}
	db.SetExpire(e, at)
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
		return 0, ErrNotInteger
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

// TTL answers TTL key and PTTL key.
func TTL(db *store.DB, w *resp.Writer, args [][]byte) ([][]byte, error) {
	e := db.Peek(args[1])
	switch {
	case e == nil:
		w.Int(-2)
	case !e.HasExpiry():
		w.Int(-1)
	case len(args[0]) == len("PTTL"):
		w.Int(db.ExpireAt(e) - db.Store().Now())
	default:
		w.Int((db.ExpireAt(e) - db.Store().Now() + 500) / 1000)
	}
	return nil, nil
}

// Persist answers PERSIST key.
func Persist(db *store.DB, w *resp.Writer, args [][]byte) ([][]byte, error) {
	if e := db.Lookup(args[1]); e == nil || !db.Persist(e) {
		w.Int(0)
		return nil, nil
	}
	w.Int(1)
	return args, nil
}
