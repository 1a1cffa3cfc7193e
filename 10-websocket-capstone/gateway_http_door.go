package main

import (
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"byor/pkg/resp"
)

// Beside the way: who may come in with a plain HTTP request, and what a request is told that may not.

// httpRefusal is the answer to a request that is refused.
type httpRefusal struct {
	status        int
	code, message string // as an error of Redis has them
	retry         time.Duration
}

// answer answers with an error in JSON.
func (e *httpRefusal) answer(w http.ResponseWriter) {
	e.write(w, "application/json", append(appendErrorParts([]byte(`{"error":`), e.code, e.message), "}\n"...))
}

// answerText answers with an error as Redis writes it.
func (e *httpRefusal) answerText(w http.ResponseWriter) {
	e.write(w, "text/plain; charset=utf-8", []byte(e.code+" "+e.message+"\n"))
}

func (e *httpRefusal) write(w http.ResponseWriter, contentType string, body []byte) {
	h := w.Header()
	if e.status == http.StatusUnauthorized {
		// Basic is taken as well. But no browser shall ask its user for a password and then send it along with
		// whatever another page makes it fetch.
		h.Set("WWW-Authenticate", `Bearer realm="redis"`)
	}
	if e.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(int((e.retry+time.Second-1)/time.Second)))
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", contentType)
	w.WriteHeader(e.status)
	_, _ = w.Write(body)
}

func refusedBusy(why string) *httpRefusal {
	return &httpRefusal{http.StatusServiceUnavailable, "BUSY", why, time.Second}
}

// refusedBy makes a refusal of an error of the engine.
func refusedBy(text string) *httpRefusal {
	code, message := errorParts(text)
	status := statusOfError(text)
	r := &httpRefusal{status: status, code: code, message: message}
	if status == http.StatusServiceUnavailable {
		r.retry = time.Second
	}
	return r
}

// statusOfError returns the HTTP status for an error of the engine.
func statusOfError(text string) int {
	code, message := errorParts(text)
	switch code {
	case "NOAUTH", "WRONGPASS":
		return http.StatusUnauthorized
	case "NOPERM", "DENIED":
		return http.StatusForbidden
	case "READONLY", "BUSYKEY", "BUSYGROUP":
		return http.StatusConflict
	case "OOM":
		return http.StatusInsufficientStorage
	case "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "MISCONF":
		return http.StatusServiceUnavailable
	}
	switch {
	case strings.HasPrefix(message, "unknown command"):
		return http.StatusNotFound
	case strings.HasPrefix(message, "max number of clients"):
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// noPermission is the refusal of a command that the guard gave a reason for.
func noPermission(why string) resp.ReplyError {
	return resp.ReplyError("NOPERM " + strings.TrimSuffix(why, " over WebSocket"))
}

// httpRoute makes the handler of a path that needs sessions. on says whether setting, which turns the path on, is yes.
// Such a handler answers preflights and counts the requests by status.
func (g *gateway) httpRoute(on bool, setting string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		counted := &countedWriter{ResponseWriter: w}
		// None of this is a page, whatever somebody has put into it.
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
		defer func() { g.requests.count(counted.code()) }()
		switch {
		case !on:
			(&httpRefusal{status: http.StatusNotFound, code: "ERR", message: "this is off; the setting " + setting + " turns it on"}).answer(counted)
		case r.Method == http.MethodOptions:
			g.servePreflight(counted, r)
		default:
			h(counted, r)
		}
	}
}

// countedWriter keeps the status of an answer.
type countedWriter struct {
	http.ResponseWriter
	status int
}

func (w *countedWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *countedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *countedWriter) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}

// letIn does the work of httpSession.
func (g *gateway) letIn(w http.ResponseWriter, r *http.Request) (*httpSession, *httpRefusal) {
	if refused := g.allowPage(w, r); refused != nil {
		return nil, refused
	}
	now, address := time.Now(), addressOf(r)
	if wait := g.requests.addresses.operation(address, now); wait > 0 {
		return nil, &httpRefusal{http.StatusTooManyRequests, "RATE", "too many operations a second; wait a moment", wait}
	}
	as, refused := g.credentialsOf(r)
	if refused != nil {
		return nil, refused
	}
	if wait := g.requests.addresses.mayLogIn(address, now); as.given && wait > 0 {
		return nil, &httpRefusal{http.StatusTooManyRequests, "RATE", "too many failed logins; wait a moment", wait}
	}
	if !g.reserve() {
		if g.draining.Load() {
			w.Header().Set("Connection", "close")
			return nil, refusedBusy("The server is about to end.")
		}
		return nil, refusedBusy("No more connections now.")
	}
	s, err := g.openHTTPSession(r.RemoteAddr)
	if err != nil {
		g.unreserve()
		return nil, refusedBusy("The engine takes no connections now.")
	}
	refused = s.login(r.Context(), as)
	if refused == nil {
		refused = s.chooseDatabase(r)
	} else if refused.status == http.StatusUnauthorized && as.given {
		g.requests.addresses.failedLogin(address, now)
		g.requests.failedLogins.Add(1)
	}
	if refused != nil {
		s.close()
		return nil, refused
	}
	return s, nil
}

// chooseDatabase obeys the parameter db of the URL.
func (s *httpSession) chooseDatabase(r *http.Request) *httpRefusal {
	db, given := r.URL.Query()["db"]
	if !given {
		return nil
	}
	v, err := s.exchange(r.Context(), []byte("SELECT"), []byte(db[0]))
	if err != nil {
		return refusedBusy("The session has ended.")
	}
	if v.IsError() {
		return refusedBy(string(v.Str))
	}
	return nil
}

// pageAllowed is the rule for WebSockets, and a little more. A browser sends no Origin with the GET of another page's
// <img> or <script>, but it says where the request comes from.
func (o *gatewayOptions) pageAllowed(r *http.Request) bool {
	switch len(r.Header["Origin"]) {
	case 0:
		site := r.Header.Get("Sec-Fetch-Site")
		return site == "" || site == "same-origin" || site == "none"
	case 1:
		return o.originAllowed(r)
	}
	return false
}

// allowPage refuses the requests of pages that may not ask, and lets the browser show an answer to the others (CORS).
// The answer may never go with cookies or a password that the browser keeps: there are no such things here.
func (g *gateway) allowPage(w http.ResponseWriter, r *http.Request) *httpRefusal {
	h := w.Header()
	h.Add("Vary", "Origin, Sec-Fetch-Site")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if !g.opts.pageAllowed(r) {
		return &httpRefusal{status: http.StatusForbidden, code: "NOPERM", message: "this page may not ask (see ws-origins)"}
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "ETag, Retry-After")
	}
	return nil
}

// servePreflight answers the OPTIONS request with which a browser asks whether a page may ask.
func (g *gateway) servePreflight(w http.ResponseWriter, r *http.Request) {
	if refused := g.allowPage(w, r); refused != nil {
		g.metrics.refused.Add(1)
		refused.answer(w)
		return
	}
	h := w.Header()
	h.Set("Allow", "GET, HEAD, POST, DELETE, OPTIONS")
	if r.Header.Get("Origin") != "" {
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-None-Match, Last-Event-ID")
		h.Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
}

// credentials are what a request says who it comes from.
type credentials struct {
	user, pass string
	given      bool
}

// secretParameters are the names under which people put passwords into URLs. A URL ends in logs and histories.
var secretParameters = []string{"auth", "password", "pass", "passwd", "token", "access_token", "user"}

var errAuthorization = errors.New(`the header Authorization is "Basic " and user:password in base64, or "Bearer " and the password of the default user`)

// credentialsOf reads the header Authorization.
func (g *gateway) credentialsOf(r *http.Request) (credentials, *httpRefusal) {
	query := r.URL.Query()
	for _, name := range secretParameters {
		if query.Has(name) || r.URL.User != nil {
			return credentials{}, &httpRefusal{status: http.StatusBadRequest, code: "ERR",
				message: "a password must not stand in a URL; use the header Authorization"}
		}
	}
	as, err := parseAuthorization(r.Header["Authorization"])
	switch {
	case err != nil:
		return as, &httpRefusal{status: http.StatusUnauthorized, code: "NOAUTH", message: err.Error()}
	case !as.given && g.opts.locked():
		return as, &httpRefusal{status: http.StatusUnauthorized, code: "NOAUTH", message: "authentication required; " + errAuthorization.Error()}
	}
	return as, nil
}

func parseAuthorization(headers []string) (credentials, error) {
	if len(headers) == 0 {
		return credentials{}, nil
	}
	scheme, value, ok := strings.Cut(headers[0], " ")
	if !ok || len(headers) > 1 {
		return credentials{}, errAuthorization
	}
	value = strings.TrimSpace(value)
	switch strings.ToLower(scheme) {
	case "bearer":
		return credentials{"default", value, true}, nil
	case "basic":
		text, err := base64.StdEncoding.DecodeString(value)
		user, pass, found := strings.Cut(string(text), ":")
		if err != nil || !found {
			return credentials{}, errAuthorization
		}
		if user == "" {
			user = "default"
		}
		return credentials{user, pass, true}, nil
	}
	return credentials{}, errAuthorization
}

// readBody reads the body of a request, of at most ws-max-message bytes, within ws-read-timeout. If it cannot, it
// answers and returns false.
func (g *gateway) readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(g.opts.ReadTimeout))
	refuse := func(status int, why string) ([]byte, bool) {
		(&httpRefusal{status: status, code: "ERR", message: why}).answer(w)
		return nil, false
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return refuse(http.StatusUnsupportedMediaType, "a body may not be compressed")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(g.opts.MaxMessage)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, "the body is larger than "+strconv.Itoa(g.opts.MaxMessage)+" bytes (see ws-max-message)")
	case err != nil:
		w.Header().Set("Connection", "close")
		return refuse(http.StatusRequestTimeout, "the body did not come whole, or too slowly")
	}
	// From here on the connection is only watched for the client's hanging up.
	_ = control.SetReadDeadline(time.Time{})
	return body, true
}

// isType reports whether the request's body is of a media type.
func isType(r *http.Request, want string) bool {
	got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && got == want
}

// writeBody writes an answer. A client may be slow with a large one as long as it goes on, as with a WebSocket.
func (g *gateway) writeBody(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_ = g.writeParts(w, http.NewResponseController(w), body)
}

// writeParts writes b, each part of it within ws-write-timeout.
func (g *gateway) writeParts(w io.Writer, control *http.ResponseController, b []byte) error {
	for len(b) > 0 {
		_ = control.SetWriteDeadline(time.Now().Add(g.opts.WriteTimeout))
		part := b[:min(len(b), writePart)]
		if _, err := w.Write(part); err != nil {
			return err
		}
		b = b[len(part):]
	}
	return nil
}
