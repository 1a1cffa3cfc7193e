// Package basics holds once what earlier steps built by hand and the later ones only carry along:
//
//   - the commands of 03 to 05 on strings, counters and deadlines, over pkg/store (commands.go);
//   - a client, the table of commands that a step extends, and the loop around them (client.go);
//   - main, and the loop that accepts connections (serve.go);
//   - from 05 and 06 what ties pkg/aof and pkg/rdb to such a store (log.go, journal.go, dump.go), and for
//     steps 07 to 09 both together, with SAVE and BGSAVE (disk.go);
//   - for steps 08 and 09 the subscriber's end of step 07 (subscriber.go);
//   - for step 09 the master's end of step 08, over pkg/repl (replicas.go);
//   - what surrounds a command and a snapshot in steps 07 to 09 (session.go);
//   - the flags that steps 06 to 09 share (flags.go).
//
// A handler of commands.go knows its database, the reply and its arguments, and nothing of connections,
// logs or replicas; so each step can have it in its own dispatch table, beside what is new there. It is
// not safe for concurrent use: the caller holds the lock that protects the store, has set the store's
// clock (SetNow), and has looked at the number of arguments.
package basics

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"byor/pkg/resp"
	"byor/pkg/store"
)

// A Handler executes one command on db. It appends the reply to w and returns the command's effect: a
// command that changes the data in the same way at whatever time it is executed. The effect is nil
// when nothing changed, because the command only reads or had nothing to do. A handler that fails
// returns the error, worded as Redis words it, instead of a reply, and has changed nothing.
//
// The arguments, args[0] being the name as the client wrote it, are valid during the call only; an
// effect shares their bytes, so it must be used or copied before they change.
type Handler func(db *store.DB, w *resp.Writer, args [][]byte) (effect [][]byte, err error)

// Errors as Redis words them.
var (
	ErrNotInteger = store.ErrNotInteger
	ErrOverflow   = store.ErrOverflow
	ErrSyntax     = errors.New("ERR syntax error")
	ErrDBIndex    = errors.New("ERR DB index is out of range")
	ErrReadOnly   = errors.New("READONLY You can't write against a read only replica.")

	ErrPendingOutput = errors.New("ERR SYNC and PSYNC are invalid with pending output")
)

// WrongArity is the error for a command, named in lower case, with too few or too many arguments.
func WrongArity(name string) error {
	return errors.New("ERR wrong number of arguments for '" + name + "' command")
}

// UnknownCommand is the error for a command that is in no table. Like Redis it quotes at most about
// 128 bytes of the name and of the arguments.
func UnknownCommand(args [][]byte) error {
	list := ""
	for i := 1; i < len(args) && len(list) < 128; i++ {
		list += fmt.Sprintf("'%.*s' ", 128-len(list), args[i])
	}
	return fmt.Errorf("ERR unknown command '%.128s', with args beginning with: %s", args[0], list)
}

// Select returns the database whose index a client has sent, or ErrNotInteger or ErrDBIndex.
func Select(data *store.Store, index []byte) (*store.DB, error) {
	n, ok := resp.ParseInt(index)
	if !ok {
		return nil, ErrNotInteger
	}
	if n < 0 || n >= int64(data.Len()) {
		return nil, ErrDBIndex
	}
	return data.DB(int(n)), nil
}

// bite is how many expired keys are deleted before others get their turn.
const bite = 100

// Sweep deletes keys whose time has come and that nobody asks for, ten times a second until ctx is
// done. It takes mu for small bites, so that the clients get their turn, and sets the store's clock
// each time. While frozen, which is called with mu held, returns true, nothing is deleted; nil stands
// for a store that is never frozen.
func Sweep(ctx context.Context, mu sync.Locker, data *store.Store, frozen func() bool) {
	for ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
		for i := range data.Len() {
			for n := bite; n == bite; {
				mu.Lock()
				if n = 0; frozen == nil || !frozen() {
					data.SetNow(time.Now().UnixMilli())
					n = data.DB(i).ExpireDue(bite)
				}
				mu.Unlock()
			}
		}
	}
}
