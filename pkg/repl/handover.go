package repl

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"byor/pkg/resp"
)

// HandOver is a failover under way: the server has been the master until now, holds writes back, and asks
// one of its replicas to take over. What it sends is PSYNC <id> <offset> FAILOVER.
//
// Before that it looks at INFO, unlike Redis, because two accidents cost data. The replica may have been
// restarted since it was found in sync, with an old snapshot: it must not become the master. And the
// answer to an earlier attempt may have got lost: then there is a new master already, and a server that goes
// on as the old one makes two. Where INFO may not be asked, it is as in Redis.
type HandOver struct {
	Force bool // the replica becomes the master even if it lacks something

	// Done is called once, without any lock: with nil when the replica has taken over, or with the reason why
	// it has not. As long as the replica cannot be reached, it is not called.
	Done func(err error)
}

// errLacks is the reason for not handing over to a replica that is not what it was.
var errLacks = errors.New("Failover target does not have all data any more") //nolint:staticcheck // it is shown

// psync asks for what the server lacks, or to be relieved.
func (l *link) psync(id string, offset int64) (answer string, err error) {
	ask := []string{"PSYNC", "?", "-1"}
	if id != "" {
		ask = []string{"PSYNC", id, strconv.FormatInt(offset+1, 10)}
	}
	h := l.f.options().HandOver
	if h == nil {
		return l.ask(ask...)
	}
	is, err := l.examine(id, offset)
	if err != nil {
		return "", err
	}
	if is == lacking && !h.Force {
		l.handedOver(errLacks)
		return "", errLacks
	}
	if is == promoted {
		l.handedOver(nil) // whatever it answers now: with an abort there would be two masters
		return l.ask(ask...)
	}
	if answer, err = l.ask(append(ask, "FAILOVER")...); err != nil {
		return "", err // it may have become the master: the next attempt will see
	}
	if strings.HasPrefix(answer, "+CONTINUE") || strings.HasPrefix(answer, "+FULLRESYNC ") {
		l.handedOver(nil)
	} else {
		l.handedOver(errors.New("Failover target rejected psync request")) //nolint:staticcheck // Redis's words
	}
	return answer, nil
}

// handedOver ends the failover. What follows is a replica's ordinary life, if the server goes on with it.
func (l *link) handedOver(err error) {
	h := l.f.options().HandOver
	l.f.Configure(func(o *FollowOptions) { o.HandOver = nil })
	h.Done(err)
}

// condition is what INFO tells of a replica that is to take over.
type condition int

const (
	unknown  condition = iota // it does not tell
	synced                    // it has all that we have
	lacking                   // it has not
	promoted                  // it has taken over already, and had all that we have
)

// examine looks at the replica that is to take over from a master whose stream is id at offset.
func (l *link) examine(id string, offset int64) (condition, error) {
	header, err := l.ask("INFO", "replication")
	if err != nil {
		return unknown, err
	}
	size, ok := resp.ParseInt([]byte(strings.TrimPrefix(header, "$")))
	if header[0] != '$' || !ok || size < 0 || size > 1<<20 {
		return unknown, nil
	}
	text := make([]byte, size+2)
	if _, err := io.ReadFull(l.r, text); err != nil {
		return unknown, err
	}
	is := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		is[name] = value
	}
	switch {
	case is["role"] == "slave" && is["master_replid"] == id && is["master_repl_offset"] == strconv.FormatInt(offset, 10):
		return synced, nil
	case is["role"] == "master" && is["master_replid2"] == id && is["second_repl_offset"] == strconv.FormatInt(offset+1, 10):
		return promoted, nil
	}
	return lacking, nil
}
