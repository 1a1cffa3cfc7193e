package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Beside the way: presence. The gateway tells everybody in a channel who is there.

// presencePrefix opens the names of the channels on which the gateway announces who is there. Nobody else may
// publish there, or presence could be forged.
const presencePrefix = "__presence__:"

// presenceMembers is how many names are told; in a larger room only their number.
const presenceMembers = 100

// presence knows who is in which channel: the users of those sockets that asked
// for it when they subscribed. A user with three tabs is one user: joining
// means the first tab, leaving the last. Safe for concurrent use.
type presence struct {
	delay   time.Duration
	publish func(channel string, payload []byte) // called without the lock

	mu     sync.Mutex
	rooms  map[string]*room
	closed bool
}

// room is one channel.
type room struct {
	users   map[string]int // tabs of each user
	sockets map[*socket]string
	before  map[string]bool // users whose tabs changed since the last telling: were they here then?
	timer   *time.Timer
}

func newPresence(delay time.Duration, publish func(string, []byte)) *presence {
	return &presence{delay: delay, publish: publish, rooms: map[string]*room{}}
}

// join adds a socket of user to the channel.
func (p *presence) join(channel, user string, s *socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-s.done: // it has left already
		return
	default:
	}
	r := p.rooms[channel]
	if r == nil {
		r = &room{users: map[string]int{}, sockets: map[*socket]string{}, before: map[string]bool{}}
		p.rooms[channel] = r
	}
	if _, has := r.sockets[s]; has {
		return
	}
	r.sockets[s] = user
	p.change(channel, r, user, 1)
}

// leave takes a socket out of the channel.
func (p *presence) leave(channel string, s *socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.take(channel, s)
}

// leaveAll takes a socket out of all channels.
func (p *presence) leaveAll(s *socket) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for channel := range p.rooms {
		p.take(channel, s)
	}
}

func (p *presence) take(channel string, s *socket) {
	r := p.rooms[channel]
	if r == nil {
		return
	}
	user, has := r.sockets[s]
	if !has {
		return
	}
	delete(r.sockets, s)
	p.change(channel, r, user, -1)
}

// change counts a tab more or less and sets the timer for the telling.
func (p *presence) change(channel string, r *room, user string, by int) {
	if _, noted := r.before[user]; !noted {
		r.before[user] = r.users[user] > 0
	}
	if r.users[user] += by; r.users[user] == 0 {
		delete(r.users, user)
	}
	if r.timer == nil && !p.closed {
		r.timer = time.AfterFunc(p.delay, func() { p.tell(channel, r) })
	}
}

// tell announces what has changed since the last time, if anything has. A user who came and went in between is
// not worth a word.
func (p *presence) tell(channel string, r *room) {
	p.mu.Lock()
	r.timer = nil
	var join, leave []string
	for user, was := range r.before {
		switch is := r.users[user] > 0; {
		case is && !was:
			join = append(join, user)
		case was && !is:
			leave = append(leave, user)
		}
	}
	clear(r.before)
	sockets := slices.Collect(maps.Keys(r.sockets))
	users := len(r.users)
	if len(r.sockets) == 0 && p.rooms[channel] == r {
		delete(p.rooms, channel)
	}
	closed := p.closed
	p.mu.Unlock()
	if len(join)+len(leave) == 0 || closed {
		return
	}
	msg := appendString([]byte(`{"push":"presence","channel":`), channel)
	msg = fmt.Appendf(msg, `,"users":%d`, users)
	if users <= presenceMembers {
		msg = appendNames(append(msg, `,"join":`...), join)
		msg = appendNames(append(msg, `,"leave":`...), leave)
	}
	msg = append(msg, '}')
	for _, s := range sockets {
		s.send(msg)
	}
	p.publish(channel, msg)
}

func appendNames(dst []byte, names []string) []byte {
	slices.Sort(names)
	dst = append(dst, '[')
	for i, n := range names {
		dst = appendString(appendComma(dst, i), n)
	}
	return append(dst, ']')
}

// appendSnapshots appends {"channel":{"users":n,"members":[…]},…}.
func (p *presence) appendSnapshots(dst []byte, channels []string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	dst = append(dst, '{')
	for i, channel := range channels {
		var users map[string]int
		if r := p.rooms[channel]; r != nil {
			users = r.users
		}
		dst = appendString(appendComma(dst, i), channel)
		dst = fmt.Appendf(dst, `:{"users":%d`, len(users))
		if len(users) <= presenceMembers {
			dst = appendNames(append(dst, `,"members":`...), slices.SortedFunc(maps.Keys(users), cmp.Compare[string]))
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// reopen allows announcements again.
func (p *presence) reopen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = false
}

// close stops all announcements.
func (p *presence) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, r := range p.rooms {
		if r.timer != nil {
			r.timer.Stop()
		}
	}
}
