package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"

	"byor/pkg/resp"
)

// Station 5, byor.json.v1, the half that hears the browser: operations in, commands out. Each operation goes
// on the list of what is awaited before its commands go to the session. The session answers in order, so the
// head of the list says whose answer a reply is. gateway_08_json_out.go is that half.

// maxAwaited bounds the operations on their way. At the bound the gateway
// stops reading, and the browser has to wait.
const maxAwaited = 1024

// jsonTalk is the state of one socket that speaks byor.json.v1.
type jsonTalk struct {
	s *socket

	mu       sync.Mutex // protects what follows
	room     sync.Cond  // signalled when awaited shrinks
	awaited  []*operation
	ended    bool
	subs     map[string]bool // channels asked for; the value is whether presence was
	psubs    map[string]bool
	user     string // who it is in the presence of channels
	client   int64  // its id in the engine
	failures int    // of logging in, since the last success

	values  wholeValues // used by hear only
	replays int64       // kept messages that come next; the same
	desk    queueDesk

	// used by the reading goroutine only
	out       []byte // commands of the message being read
	saidHello bool
	multi     bool // a transaction is being queued
}

func newJSONTalk(s *socket) *jsonTalk {
	t := &jsonTalk{s: s, subs: map[string]bool{}, psubs: map[string]bool{}}
	t.room.L = &t.mu
	return t
}

// request is an operation as it comes.
type request struct {
	ID   json.RawMessage `json:"id"`
	Op   string          `json:"op"`
	Name string          `json:"name"`
	Auth *struct {
		User string `json:"user"`
		Pass string `json:"pass"`
	} `json:"auth"`
	Args     []json.RawMessage `json:"args"`
	Channels []string          `json:"channels"`
	Patterns []string          `json:"patterns"`
	Last     json.RawMessage   `json:"last"`
	Since    map[string]string `json:"since"`
	Presence bool              `json:"presence"`
	Channel  string            `json:"channel"`
	Data     json.RawMessage   `json:"data"`
	Queue    string            `json:"queue"`
	Policy   string            `json:"policy"`
	Prefetch *int              `json:"prefetch"`
	Entries  []string          `json:"entries"`
}

// operation is a request whose answer is awaited.
type operation struct {
	id      json.RawMessage
	kind    string
	refused string // why the gateway did not pass the command on
	user    string // hello: who logs in
	then    func() // of queues: what to do if the user may

	// sub and unsub:
	steps              []int   // confirmations due for each command sent, the current one first
	named              []named // what each of them is about
	channels, patterns []string
	presence           bool
	past               *past    // nil: it wants nothing of it
	begun              bool     // the first confirmation has come
	failed             string   // the error of the current command
	wrong              string   // the error of one of the commands before it
	held               [][]byte // pushes that came before the answer was complete
}

// message handles one WebSocket message: JSON objects, one a line.
func (t *jsonTalk) message(kind int, data []byte) error {
	if kind != websocket.TextMessage {
		return &closeError{websocket.CloseUnsupportedData, protoJSON + " is made of text frames"}
	}
	if !utf8.Valid(data) { // gorilla does not check
		return &closeError{websocket.CloseInvalidFramePayloadData, "a text frame must be UTF-8"}
	}
	t.greet()
	t.out = t.out[:0]
	if json.Valid(data) { // also one object over several lines
		if err := t.one(data); err != nil {
			return err
		}
		return t.s.toSession(t.out)
	}
	for line := range bytes.Lines(data) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if err := t.one(line); err != nil {
				return err
			}
		}
	}
	return t.s.toSession(t.out)
}

// greet makes the session speak RESP3, once, where that needs no password.
func (t *jsonTalk) greet() {
	if t.saidHello || !t.s.authed.Load() {
		return
	}
	t.saidHello = true
	if err := t.await(&operation{kind: "greeting"}); err == nil {
		_ = t.s.toSession(resp.AppendCommandStrings(nil, "HELLO", "3"))
	}
}

// one handles one operation. If something is wrong with it, the browser gets an error, and the connection
// lives. An error that one returns ends it.
func (t *jsonTalk) one(line []byte) error {
	// region: the rules for an operation
	var req request
	if err := json.Unmarshal(line, &req); err != nil {
		t.fail(idOf(line), "ERR", "not a JSON object of the form {\"id\":1,\"op\":\"cmd\",…}: "+err.Error())
		return nil
	}
	t.s.g.metrics.operations.Add(1)
	if t.s.bucket.take(time.Now()) > 0 {
		return t.tooFast(&req)
	}
	t.s.strikes = max(0, t.s.strikes-1)
	if !t.s.authed.Load() && req.Op != "hello" {
		t.fail(req.ID, "NOAUTH", "log in first, with hello")
		return nil
	}
	if why := notQueued[req.Op]; why != "" && t.multi {
		args := refusal([]byte(req.Op), why)
		return t.ask(&operation{id: req.ID, kind: "cmd", refused: why}, args)
	}
	return t.perform(&req)
	// endregion
}

// perform does what an operation asks for, or sends a command for it.
func (t *jsonTalk) perform(req *request) error {
	if queueOperations[req.Op] {
		return t.queue(req)
	}
	// region: which operation
	switch req.Op {
	case "hello":
		return t.hello(req)
	case "cmd":
		return t.cmd(req)
	case "ping":
		return t.ask(&operation{id: req.ID, kind: "ping"}, [][]byte{[]byte("PING")})
	case "sub":
		return t.sub(req)
	case "unsub":
		return t.unsub(req)
	case "pub":
		return t.pub(req)
	case "presence":
		t.presence(req)
		return nil
	}
	t.fail(req.ID, "ERR", "no operation \""+req.Op+"\"; there are hello cmd ping sub unsub pub presence consume ack unconsume")
	return nil
	// endregion
}

// notQueued are the operations that a transaction cannot hold. The engine would answer QUEUED, and the gateway
// would have changed its own state for a command that is perhaps never executed.
var notQueued = map[string]string{
	"hello": "hello is for outside of MULTI", "sub": "sub is for outside of MULTI", "unsub": "unsub is for outside of MULTI",
	"consume": "consume is for outside of MULTI", "ack": "ack is for outside of MULTI", "unconsume": "unconsume is for outside of MULTI",
}

// idOf finds the id of an object in which something else is wrong.
func idOf(line []byte) json.RawMessage {
	var o struct {
		ID json.RawMessage `json:"id"`
	}
	_ = json.Unmarshal(line, &o)
	return o.ID
}

// tooFast refuses an operation. A browser that goes on regardless is closed.
func (t *jsonTalk) tooFast(req *request) error {
	t.s.strikes++
	if t.s.strikes > t.s.g.opts.OpsBurst {
		return &closeError{closeRate, "too many operations a second"}
	}
	t.fail(req.ID, "RATE", "too many operations a second; wait a moment")
	return nil
}

func (t *jsonTalk) hello(req *request) error {
	t.mu.Lock()
	tooMany := t.failures >= 3
	if req.Auth != nil {
		t.failures++ // until it turns out to be right
	}
	t.mu.Unlock()
	if tooMany {
		return &closeError{websocket.ClosePolicyViolation, "too many failed logins"}
	}
	t.saidHello = true
	args := []string{"HELLO", "3"}
	user := req.Name
	if req.Auth != nil {
		name := req.Auth.User
		if name == "" {
			name = "default"
		}
		if name != "default" {
			user = name
		}
		args = append(args, "AUTH", name, req.Auth.Pass)
	}
	if req.Name != "" {
		args = append(args, "SETNAME", req.Name)
	}
	if err := t.await(&operation{id: req.ID, kind: "hello", user: user}); err != nil {
		return err
	}
	t.out = resp.AppendCommandStrings(t.out, args...)
	return nil
}

func (t *jsonTalk) cmd(req *request) error {
	// region: a command, awaited before it is sent
	args, err := arguments(req.Args)
	if err != nil {
		t.fail(req.ID, "ERR", err.Error())
		return nil
	}
	born := t.s.g.opts.born(args)
	if name := string(bytes.ToLower(born[0])); len(args) == 1 && (name == "multi" || name == "exec" || name == "discard") {
		t.multi = name == "multi"
	}
	o := &operation{id: req.ID, kind: "cmd"}
	if why := t.s.g.guard.refusesJSON(born); why != "" {
		o.refused = why
		args = refusal(args[0], why)
	}
	return t.ask(o, args)
	// endregion
}

func (t *jsonTalk) pub(req *request) error {
	data, err := argument(req.Data)
	if err != nil {
		t.fail(req.ID, "ERR", "data: "+err.Error())
		return nil
	}
	if strings.HasPrefix(req.Channel, presencePrefix) {
		t.fail(req.ID, "NOPERM", "presence is announced by the server only")
		return nil
	}
	return t.ask(&operation{id: req.ID, kind: "pub"}, [][]byte{[]byte("PUBLISH"), []byte(req.Channel), data})
}

// sub subscribes. Channels and patterns take a command each, and their
// confirmations make up one answer.
func (t *jsonTalk) sub(req *request) error {
	if len(req.Channels)+len(req.Patterns) == 0 {
		t.fail(req.ID, "ERR", "sub needs channels or patterns")
		return nil
	}
	channels, patterns := unique(req.Channels), unique(req.Patterns)
	past, why := pastOf(req, channels)
	if why != "" {
		t.fail(req.ID, "ERR", why)
		return nil
	}
	t.mu.Lock()
	fresh, freshPatterns := missing(t.subs, channels), missing(t.psubs, patterns)
	if len(t.subs)+len(t.psubs)+len(fresh)+len(freshPatterns) > t.s.g.opts.MaxSubscriptions {
		t.mu.Unlock()
		t.fail(req.ID, "LIMIT", "too many subscriptions")
		return nil
	}
	for _, c := range channels {
		t.subs[c] = t.subs[c] || req.Presence
	}
	for _, p := range patterns {
		t.psubs[p] = false
	}
	t.mu.Unlock()
	o := &operation{id: req.ID, kind: "sub", channels: channels, patterns: patterns, presence: req.Presence, past: past}
	o.named = []named{{names: channels, fresh: fresh}, {names: patterns, fresh: freshPatterns, patterns: true}}
	if past != nil {
		return t.subscribeSince(o)
	}
	return t.subscription(o, "SUBSCRIBE", "PSUBSCRIBE")
}

// unsub ends subscriptions; without any named, all.
func (t *jsonTalk) unsub(req *request) error {
	channels, patterns := unique(req.Channels), unique(req.Patterns)
	t.mu.Lock()
	if len(channels)+len(patterns) == 0 {
		for c := range t.subs {
			channels = append(channels, c)
		}
		for p := range t.psubs {
			patterns = append(patterns, p)
		}
	}
	for _, c := range channels {
		delete(t.subs, c)
	}
	for _, p := range patterns {
		delete(t.psubs, p)
	}
	t.mu.Unlock()
	o := &operation{id: req.ID, kind: "unsub", channels: channels, patterns: patterns}
	o.named = []named{{names: channels}, {names: patterns, patterns: true}}
	if len(channels)+len(patterns) == 0 {
		return t.ask(o, [][]byte{[]byte("PING")}) // nothing to undo, but in its turn
	}
	return t.subscription(o, "UNSUBSCRIBE", "PUNSUBSCRIBE")
}

func (t *jsonTalk) subscription(o *operation, forChannels, forPatterns string) error {
	o.takeSteps()
	if err := t.await(o); err != nil {
		return err
	}
	if len(o.channels) > 0 {
		t.out = resp.AppendCommandStrings(t.out, append([]string{forChannels}, o.channels...)...)
	}
	if len(o.patterns) > 0 {
		t.out = resp.AppendCommandStrings(t.out, append([]string{forPatterns}, o.patterns...)...)
	}
	return nil
}

// named are the names that one command of a sub or an unsub is about.
type named struct {
	names    []string
	fresh    []string // those that it brings, as far as is known when it is sent
	patterns bool
}

// takeSteps counts the confirmations of the commands that there are to be.
func (o *operation) takeSteps() {
	o.named = slices.DeleteFunc(o.named, func(n named) bool { return len(n.names) == 0 })
	for _, n := range o.named {
		o.steps = append(o.steps, len(n.names))
	}
}

// missing returns the names that are not in has.
func missing(has map[string]bool, names []string) (fresh []string) {
	for _, n := range names {
		if _, ok := has[n]; !ok {
			fresh = append(fresh, n)
		}
	}
	return fresh
}

func unique(names []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// presence answers at once: the gateway itself knows.
func (t *jsonTalk) presence(req *request) {
	t.answer(req.ID, func(dst []byte) []byte { return t.s.g.presence.appendSnapshots(dst, unique(req.Channels)) })
}

// ask awaits an operation and sends its one command with the rest of the message.
func (t *jsonTalk) ask(o *operation, args [][]byte) error {
	// region: a command, awaited before it is sent
	if err := t.await(o); err != nil {
		return err
	}
	t.out = resp.AppendCommand(t.out, args...)
	return nil
	// endregion
}

var errEnded = errors.New("the socket has ended")

// await puts an operation on the list, waiting for room.
func (t *jsonTalk) await(o *operation) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.awaited) >= maxAwaited && !t.ended {
		if len(t.out) > 0 {
			// The operations on the list may wait for commands that are not sent yet.
			t.mu.Unlock()
			err := t.s.toSession(t.out)
			t.out = t.out[:0]
			t.mu.Lock()
			if err != nil {
				return err
			}
			continue
		}
		t.room.Wait()
	}
	if t.ended {
		return errEnded
	}
	t.awaited = append(t.awaited, o)
	return nil
}

func (t *jsonTalk) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.awaited) == 0 && t.desk.out.idle()
}

// end wakes the goroutines that wait, and takes the socket out of the presence of its channels.
func (t *jsonTalk) end() {
	t.mu.Lock()
	t.ended = true
	t.room.Broadcast()
	t.mu.Unlock()
	t.desk.leave()
	t.s.g.presence.leaveAll(t.s)
}
