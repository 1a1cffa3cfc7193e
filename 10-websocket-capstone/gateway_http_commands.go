package main

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"

	"byor/pkg/resp"
)

// Beside the way: commands over plain HTTP, for programs that speak nothing else. HTTP.md tells how to use them.
//
//	GET  /c/GET/greeting        a command that only reads, with its arguments in the path
//	POST /c/SET/greeting/hello  any command; a body of bytes is its last argument
//	POST /c                     any command, as a JSON array
//	GET  /c/SUBSCRIBE/room:1    an event stream, see gateway_http_events.go
//
// A path may end in .json (which is the default), .txt or .raw.

// isCommandPath reports whether an escaped path is one of the above. Such a path does not go through a ServeMux, which
// would make "a/b" of the arguments "a", "" and "b".
func isCommandPath(path string) bool {
	path, _ = cutFormat(path)
	return path == "/c" || strings.HasPrefix(path, "/c/")
}

// serveCommands runs the command of a request.
func (g *gateway) serveCommands(w http.ResponseWriter, r *http.Request) {
	s, ok := g.httpSession(w, r)
	if !ok {
		return
	}
	defer s.close()
	q, refused := g.readCommand(w, r)
	if refused == nil && q.kind != "" {
		g.serveEvents(w, r, s, q)
		return
	}
	if refused != nil {
		if refused.status != 0 { // else it has been answered
			g.answerError(w, q.format, refused)
		}
		return
	}
	v, err := s.do(r.Context(), q.args...)
	g.answerCommand(w, r, q.format, v, err)
}

// httpCommand is a command as a request has it.
type httpCommand struct {
	args   [][]byte
	format string // "json", "txt" or "raw"
	kind   string // of subscription, if it is one: "subscribe", "psubscribe" or "ssubscribe"
}

// answered says that a request has had its answer.
var answered = &httpRefusal{}

// readCommand reads and judges the command of a request.
func (g *gateway) readCommand(w http.ResponseWriter, r *http.Request) (httpCommand, *httpRefusal) {
	path, format := cutFormat(r.URL.EscapedPath())
	q := httpCommand{format: format}
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	inPath := path != "/c"
	if r.Method != http.MethodPost && !(reads && inPath) {
		return q, notAllowed(w, inPath)
	}
	var err error
	if inPath {
		if q.args, err = pathArguments(strings.TrimPrefix(path, "/c/")); err != nil {
			return q, badRequest(err.Error())
		}
	}
	if !reads {
		if refused := g.addBody(w, r, &q, inPath); refused != nil {
			return q, refused
		}
	}
	return q, g.judge(w, r, &q, reads)
}

// addBody adds what the body of a POST has of the command: all of it, or its last argument.
func (g *gateway) addBody(w http.ResponseWriter, r *http.Request, q *httpCommand, inPath bool) *httpRefusal {
	want := "application/json"
	if inPath {
		want = "application/octet-stream"
	}
	typed := r.Header.Get("Content-Type") != "" || r.ContentLength != 0
	if (typed || !inPath) && !isType(r, want) {
		w.Header().Set("Accept-Post", want)
		return &httpRefusal{status: http.StatusUnsupportedMediaType, code: "ERR", message: "the body must have the Content-Type " + want}
	}
	body, ok := g.readBody(w, r)
	if !ok {
		return answered
	}
	if !inPath {
		args, err := jsonArguments(body)
		if err != nil {
			return badRequest(err.Error())
		}
		q.args = args
	} else if typed {
		q.args = append(q.args, body)
	}
	return nil
}

// judge refuses what is not for HTTP, and what a GET may not do.
func (g *gateway) judge(w http.ResponseWriter, r *http.Request, q *httpCommand, reads bool) *httpRefusal {
	born := g.opts.born(q.args)
	name := strings.ToLower(string(born[0]))
	if why := g.guard.refuses(born); why != "" {
		return refusedBy(noPermission(why).Error())
	}
	if name == "subscribe" || name == "psubscribe" || name == "ssubscribe" {
		if !reads {
			return &httpRefusal{status: http.StatusForbidden, code: "NOPERM", message: "a subscription is an event stream; ask for it with GET"}
		}
		if len(q.args) > 1 {
			q.kind = name
			return nil
		}
	}
	if why := sessionOnly(born); why != "" {
		return refusedBy(noPermission(why).Error())
	}
	if !reads {
		return nil
	}
	onlyReads, err := g.table.onlyReads(g.engine, q.args, born)
	switch {
	case errors.Is(err, errUnknownCommand):
		return &httpRefusal{status: http.StatusNotFound, code: "ERR", message: "unknown command '" + string(q.args[0][:min(len(q.args[0]), 128)]) + "'"}
	case err != nil:
		return refusedBusy("The engine does not answer now.")
	case !onlyReads:
		w.Header().Set("Allow", "POST, OPTIONS")
		return &httpRefusal{status: http.StatusMethodNotAllowed, code: "ERR", message: "a GET may only read; send this command with POST"}
	}
	return nil
}

func badRequest(why string) *httpRefusal {
	return &httpRefusal{status: http.StatusBadRequest, code: "ERR", message: why}
}

func notAllowed(w http.ResponseWriter, inPath bool) *httpRefusal {
	allow := "POST, OPTIONS"
	if inPath {
		allow = "GET, HEAD, POST, OPTIONS"
	}
	w.Header().Set("Allow", allow)
	return &httpRefusal{status: http.StatusMethodNotAllowed, code: "ERR", message: "allowed methods are " + allow}
}

// ofASession are the commands that change or end a session. A request has one of its own, and no other request sees it.
var ofASession = map[string]string{
	"subscribe": "name a channel", "psubscribe": "name a pattern", "ssubscribe": "name a channel",
	"history.subscribe": "use SUBSCRIBE with the parameter last of the URL",
	"unsubscribe":       "end the request instead", "punsubscribe": "end the request instead", "sunsubscribe": "end the request instead",
	"multi": oneCommand, "exec": oneCommand, "discard": oneCommand, "watch": oneCommand, "unwatch": oneCommand,
	"hello": "use the header Authorization", "auth": "use the header Authorization", "select": "use the parameter db of the URL, as in ?db=1",
	"quit": endsWith, "reset": endsWith, "client|setname": endsWith, "client|setinfo": endsWith, "client|reply": "every request is answered",
	"client|tracking": endsWith, "client|caching": endsWith, "client|no-touch": endsWith,
	"monitor": "it has no end", "sync": "it has no end", "psync": "it has no end", "replconf": "it is for replicas",
}

const (
	oneCommand = "a request is one command; a script can run several as one"
	endsWith   = "a session ends with its request"
)

// sessionOnly returns why a command is of no use in a request, or "".
func sessionOnly(args [][]byte) string {
	name := strings.ToLower(string(args[0]))
	if why := ofASession[name]; why != "" || len(args) == 1 {
		return why
	}
	return ofASession[name+"|"+strings.ToLower(string(args[1]))]
}

// answerCommand answers a request with the reply of the engine.
func (g *gateway) answerCommand(w http.ResponseWriter, r *http.Request, format string, v resp.Value, err error) {
	var failed resp.ReplyError
	switch {
	case errors.As(err, &failed):
		g.metrics.errors.Add(1)
		g.answerError(w, format, refusedBy(string(failed)))
		return
	case errors.Is(err, errTooManyReplies):
		g.answerError(w, format, refusedBusy(err.Error()))
		return
	case errors.Is(err, errReplyTooLarge):
		g.answerError(w, format, badRequest(err.Error()))
		return
	case err != nil:
		g.answerError(w, format, &httpRefusal{status: http.StatusBadGateway, code: "ERR",
			message: "the session has ended before the reply; perhaps the command was executed, perhaps not"})
		return
	}
	body, contentType, refused := formatted(format, v)
	if refused != nil {
		g.answerError(w, format, refused)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	if r.Method == http.MethodPost {
		h.Set("Cache-Control", "no-store")
		g.writeBody(w, http.StatusOK, body)
		return
	}
	h.Set("Cache-Control", "private, no-cache") // a browser may keep it if it asks each time
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:15]) + `"`
	h.Set("ETag", tag)
	if hasTag(r.Header.Values("If-None-Match"), tag) {
		h.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	g.writeBody(w, http.StatusOK, body)
}

// answerError answers in the format that was asked for.
func (g *gateway) answerError(w http.ResponseWriter, format string, e *httpRefusal) {
	if format == "json" || format == "" {
		e.answer(w)
		return
	}
	e.answerText(w)
}

// hasTag reports whether a list of entity tags has one.
func hasTag(headers []string, tag string) bool {
	for _, header := range headers {
		for one := range strings.SplitSeq(header, ",") {
			if one = strings.TrimPrefix(strings.TrimSpace(one), "W/"); one == tag || one == "*" {
				return true
			}
		}
	}
	return false
}

// commandTable knows which commands only read, from the engine itself. Safe for concurrent use.
type commandTable struct {
	mu    sync.Mutex
	reads map[string]map[string]bool // by command and subcommand, both in lower case; "" stands for the command itself
}

// harmless are commands that change nothing, although the engine does not list them as reading.
var harmless = map[string]bool{"ping": true, "echo": true, "time": true, "info": true, "command": true, "lastsave": true, "role": true, "lolwut": true}

var errUnknownCommand = errors.New("unknown command")

// onlyReads reports whether a command changes nothing. born is the command by its old name.
func (t *commandTable) onlyReads(e *engineClient, args, born [][]byte) (bool, error) {
	if harmless[strings.ToLower(string(born[0]))] {
		return true, nil
	}
	facts, err := t.facts(e, strings.ToLower(string(args[0])))
	if err != nil {
		return false, err
	}
	if len(args) > 1 {
		if reads, known := facts[strings.ToLower(string(args[1]))]; known && len(args[1]) > 0 {
			return reads, nil
		}
	}
	return facts[""], nil
}

// facts returns what is known of a command. The engine is asked once for each that exists.
func (t *commandTable) facts(e *engineClient, name string) (map[string]bool, error) {
	t.mu.Lock()
	facts := t.reads[name]
	t.mu.Unlock()
	if facts != nil {
		return facts, nil
	}
	v, err := e.do("COMMAND", "INFO", name)
	if err != nil {
		return nil, err
	}
	if len(v.Elems) != 1 || len(v.Elems[0].Elems) < 3 {
		return nil, errUnknownCommand
	}
	facts = map[string]bool{}
	addFacts(facts, "", v.Elems[0].Elems)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reads == nil {
		t.reads = map[string]map[string]bool{}
	}
	t.reads[name] = facts
	return facts, nil
}

// addFacts adds what COMMAND INFO says: name, arity, flags, … and, in the tenth place, the subcommands.
func addFacts(facts map[string]bool, name string, info []resp.Value) {
	reads := false
	for _, flag := range info[2].Elems {
		reads = reads || string(flag.Str) == "readonly"
	}
	facts[name] = reads
	if len(info) <= 9 {
		return
	}
	for _, sub := range info[9].Elems {
		if len(sub.Elems) > 2 {
			_, name, _ := strings.Cut(strings.ToLower(string(sub.Elems[0].Str)), "|")
			addFacts(facts, name, sub.Elems)
		}
	}
}
