package queue

import (
	"errors"
	"strconv"
	"strings"

	"byor/pkg/resp"
)

// This file is what is done to a stream, command by command. It knows nothing of who waits for messages.

const (
	consumerHTTP = "http"     // holds what was taken one by one, to be acknowledged later
	consumerBack = "returned" // holds what was given back and nobody has yet
)

// backIdle is the idle time, in milliseconds, of a message that is given back: no time-out is longer, so it is due
// at once for whoever looks.
var backIdle = strconv.FormatInt(MaxTimeout.Milliseconds(), 10)

// pending is an entry that was given and not acknowledged.
type pending struct {
	id    string
	tries int
}

// maxKnown bounds the names that are remembered.
const maxKnown = 4096

// withGroup runs f on a stream whose group is there. If the key is not, withGroup returns nil and does nothing:
// an empty queue needs no key.
func (q *Queues) withGroup(l *Link, name string, f func() error) error {
	for again := false; ; again = true {
		there, err := q.ensure(l, name)
		if err != nil || !there {
			return err
		}
		if err = f(); !isNoGroup(err) || again {
			return err
		}
		q.mu.Lock()
		delete(q.known, name) // FLUSHALL, or somebody deleted the key
		q.mu.Unlock()
	}
}

// ensure makes the group if the stream is there. The first time, it takes back what consumers of an earlier process
// have held: they are gone.
func (q *Queues) ensure(l *Link, name string) (there bool, err error) {
	q.mu.Lock()
	known := q.known[name]
	q.mu.Unlock()
	if known {
		return true, nil
	}
	_, err = l.do("XGROUP", "CREATE", Key(name), group, "0")
	switch {
	case err == nil:
	case strings.HasPrefix(err.Error(), "BUSYGROUP "):
		if err := q.recover(l, name); err != nil {
			return false, err
		}
	case strings.Contains(err.Error(), "requires the key to exist"):
		return false, nil
	default:
		return false, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.known) >= maxKnown {
		clear(q.known)
	}
	q.known[name] = true
	return true, nil
}

// recover gives back what consumers of an earlier process hold.
func (q *Queues) recover(l *Link, name string) error {
	v, err := l.do("XINFO", "CONSUMERS", Key(name), group)
	if err != nil {
		return err
	}
	for _, c := range v.Elems {
		consumer := string(member(c, "name").Str)
		if parts := strings.Split(consumer, "~"); len(parts) != 3 || parts[1] == q.run {
			continue
		}
		if err := q.dismiss(l, name, consumer); err != nil {
			return err
		}
	}
	return nil
}

// dismiss gives back all that a consumer holds, and removes it. Nobody may read under its name meanwhile: Redis
// forgets what a removed consumer holds.
func (q *Queues) dismiss(l *Link, name, consumer string) error {
	for {
		v, err := l.do("XPENDING", Key(name), group, "-", "+", "500", consumer)
		if err != nil {
			return notThere(err)
		}
		if len(v.Elems) == 0 {
			_, err = l.do("XGROUP", "DELCONSUMER", Key(name), group, consumer)
			return notThere(err)
		}
		var ids []string
		for _, p := range pendings(v) {
			ids = append(ids, p.id)
		}
		if err := q.giveBack(l, name, ids...); err != nil {
			return err
		}
	}
}

// notThere makes nothing of the error that there is no such group, or key, any more.
func notThere(err error) error {
	if isNoGroup(err) || isReply(err) && (strings.Contains(err.Error(), "requires the key to exist") || err.Error() == "ERR no such key") {
		return nil
	}
	return err
}

// giveBack makes entries due at once. It does not count as a try.
func (q *Queues) giveBack(l *Link, name string, ids ...string) error {
	args := append([]string{"XCLAIM", Key(name), group, consumerBack, "0"}, ids...)
	_, err := l.do(append(args, "IDLE", backIdle, "JUSTID")...)
	return notThere(err)
}

// due returns up to n entries that were given too long ago, or given back. Those that are dead it buries. Where that
// is not possible they stay, and do not keep others waiting.
func (q *Queues) due(l *Link, name string, n int) ([]pending, error) {
	var due []pending
	for from := "-"; ; {
		v, err := l.do("XPENDING", Key(name), group, "IDLE", q.timeoutMs(), from, "+", strconv.Itoa(n))
		if err != nil {
			return nil, err
		}
		found := pendings(v)
		for _, p := range found {
			if !q.isDead(name, p) {
				due = append(due, p)
			} else if err := q.bury(l, name, p); isReply(err) {
				q.complain(name, err)
			} else if err != nil {
				return nil, err
			}
		}
		if len(due) > 0 || len(found) < n {
			return due, nil
		}
		from = "(" + found[len(found)-1].id
	}
}

func (q *Queues) timeoutMs() string { return strconv.FormatInt(q.o.Timeout.Milliseconds(), 10) }

// claim gives a due entry to a consumer. ok is false if somebody else was faster, or it was acknowledged or deleted.
func (q *Queues) claim(l *Link, name, consumer string, p pending) (job Job, ok bool, err error) {
	v, err := l.do("XCLAIM", Key(name), group, consumer, q.timeoutMs(), p.id)
	if err != nil || len(v.Elems) == 0 {
		return Job{}, false, err
	}
	job, ok = jobOf(name, v.Elems[0])
	job.Tries = p.tries + 1
	return job, ok, nil
}

// readCommand takes up to n new messages for a consumer.
func readCommand(name, consumer string, n int) []string {
	return []string{"XREADGROUP", "GROUP", group, consumer, "COUNT", strconv.Itoa(n), "STREAMS", Key(name), ">"}
}

// jobsRead are the messages in the reply to readCommand.
func jobsRead(name string, v resp.Value) []Job {
	var jobs []Job
	for _, e := range entriesRead(v) {
		if job, ok := jobOf(name, e); ok {
			job.Tries = 1
			jobs = append(jobs, job)
		}
	}
	return jobs
}

// take gives one message to a consumer, one that is due before a new one.
func (q *Queues) take(l *Link, name, consumer string) (job Job, ok bool, err error) {
	err = q.withGroup(l, name, func() error {
		due, err := q.due(l, name, 8)
		if err != nil {
			return err
		}
		for _, p := range due {
			if job, ok, err = q.claim(l, name, consumer, p); ok || err != nil {
				return err
			}
		}
		v, err := l.do(readCommand(name, consumer, 1)...)
		if jobs := jobsRead(name, v); len(jobs) > 0 {
			job, ok = jobs[0], true
		}
		return err
	})
	return job, ok, err
}

// look returns the message that take would give, and leaves it where it is. It changes nothing, so it works on a
// replica, too.
func (q *Queues) look(l *Link, name string) (job Job, ok bool, err error) {
	v, err := l.do("XPENDING", Key(name), group, "IDLE", q.timeoutMs(), "-", "+", "100")
	if err = notThere(err); err != nil {
		return Job{}, false, err
	}
	for _, p := range pendings(v) {
		if q.isDead(name, p) {
			continue
		}
		if job, ok, err = q.first(l, name, p.id, p.id); ok || err != nil {
			job.Tries = p.tries
			return job, ok, err
		}
	}
	last, err := q.lastGiven(l, name)
	switch {
	case isNoGroup(err):
		return q.first(l, name, "-", "+")
	case err != nil: // no such key
		return Job{}, false, notThere(err)
	}
	return q.first(l, name, "("+last, "+")
}

// isDead reports whether a message that is due has been tried too often. In a queue of the dead nothing dies.
func (q *Queues) isDead(name string, p pending) bool {
	return q.o.Tries > 0 && p.tries >= q.o.Tries && !strings.HasSuffix(name, deadSuffix)
}

func (q *Queues) first(l *Link, name, from, to string) (Job, bool, error) {
	v, err := l.do("XRANGE", Key(name), from, to, "COUNT", "1")
	if err != nil || len(v.Elems) == 0 {
		return Job{}, false, err
	}
	job, ok := jobOf(name, v.Elems[0])
	return job, ok, nil
}

// lastGiven returns the ID of the newest entry that was ever given to a worker.
func (q *Queues) lastGiven(l *Link, name string) (string, error) {
	v, err := l.do("XINFO", "GROUPS", Key(name))
	if err != nil {
		return "", err
	}
	for _, g := range v.Elems {
		if string(member(g, "name").Str) == group {
			return string(member(g, "last-delivered-id").Str), nil
		}
	}
	return "", resp.ReplyError("NOGROUP the group is gone")
}

// finish acknowledges entries and deletes them, as one unit. What was never given is not acknowledged. n is how many
// it was.
func (q *Queues) finish(l *Link, name string, ids []string) (n int, err error) {
	var questions [][]string
	for _, id := range ids {
		questions = append(questions, []string{"XPENDING", Key(name), group, id, id, "1"})
	}
	answers, err := l.all(questions...)
	if err != nil {
		return 0, err
	}
	var given []string
	for i, v := range answers {
		if err := notThere(v.Err()); err != nil {
			return 0, err
		}
		if !v.IsError() && len(v.Elems) > 0 {
			given = append(given, ids[i])
		}
	}
	if len(given) == 0 {
		return 0, nil
	}
	done, err := l.unit(append([]string{"XACK", Key(name), group}, given...), append([]string{"XDEL", Key(name)}, given...))
	if err != nil {
		return 0, err
	}
	n = int(done[0].Int)
	q.Stats.Acked.Add(int64(n))
	return n, nil
}

// errChanged says that a watched key has changed.
var errChanged = errors.New("a watched key has changed")

// unit runs commands as a transaction and returns their replies. The first error among them is returned.
func (l *Link) unit(commands ...[]string) ([]resp.Value, error) {
	all := append([][]string{{"MULTI"}}, commands...)
	replies, err := l.all(append(all, []string{"EXEC"})...)
	if err != nil {
		return nil, err
	}
	done := replies[len(replies)-1]
	for _, v := range append(replies, done.Elems...) {
		if err := v.Err(); err != nil {
			return nil, err
		}
	}
	if done.Null {
		return nil, errChanged
	}
	return done.Elems, nil
}

// buryAttempts is how often bury tries; a busy queue changes all the time. The next look tries again.
const buryAttempts = 8

// bury moves an entry to the queue of the dead, as one unit. Whoever acknowledges it until then has done it.
func (q *Queues) bury(l *Link, name string, p pending) error {
	for range buryAttempts {
		moved, err := q.buryOnce(l, name, p)
		if errors.Is(err, errChanged) {
			continue
		}
		if moved {
			q.Stats.Dead.Add(1)
			q.released(name, []string{p.id}, false)
		}
		return err
	}
	return nil
}

func (q *Queues) buryOnce(l *Link, name string, p pending) (moved bool, err error) {
	dead := name + deadSuffix
	v, err := l.all([]string{"WATCH", Key(name), Key(dead)}, []string{"XPENDING", Key(name), group, p.id, p.id, "1"},
		[]string{"XRANGE", Key(name), p.id, p.id}, []string{"TYPE", Key(dead)})
	if err != nil {
		return false, err
	}
	kind := string(v[3].Str)
	switch {
	case v[1].IsError() || len(v[1].Elems) == 0: // acknowledged meanwhile
		_, err = l.do("UNWATCH")
	case len(v[2].Elems) == 0: // deleted by somebody
		_, err = l.unit([]string{"XACK", Key(name), group, p.id})
	case kind != "none" && kind != "stream":
		if _, err = l.do("UNWATCH"); err == nil {
			err = resp.ReplyError("WRONGTYPE the key " + Key(dead) + " is no stream, so dead messages have no place")
		}
	default:
		add := []string{"XADD", Key(dead), "*"}
		for _, f := range v[2].Elems[0].Elems[1].Elems {
			add = append(add, string(f.Str))
		}
		add = append(add, "queue", name, "entry", p.id, "tries", strconv.Itoa(p.tries))
		_, err = l.unit(add, []string{"XACK", Key(name), group, p.id}, []string{"XDEL", Key(name), p.id})
		return err == nil, err
	}
	return false, err
}
