package main

import (
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"byor/pkg/resp"
)

// Beside the way: the gateway's own session of the engine, for /metrics, /readyz and presence.

// engineClient is the gateway's own session of the engine, for its own requests: INFO for /metrics and
// /readyz, PUBLISH of presence. It connects when first used, and anew after an error. Safe for concurrent
// use; one request at a time.
type engineClient struct {
	opts *gatewayOptions

	mu   sync.Mutex
	conn net.Conn
	r    *resp.Reader
}

// gatewayItself is where the gateway's own session comes from.
var gatewayItself net.Addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}

// engineTimeout bounds the gateway's own requests.
const engineTimeout = 5 * time.Second

// do runs one command. An error reply is returned as a resp.ReplyError.
func (e *engineClient) do(args ...string) (resp.Value, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conn == nil {
		if err := e.connect(); err != nil {
			return resp.Value{}, err
		}
	}
	return e.exchange(args...)
}

func (e *engineClient) connect() error {
	conn, err := e.opts.Dial(gatewayItself)
	if err != nil {
		return err
	}
	e.conn, e.r = conn, resp.NewReader(conn)
	hello := []string{"HELLO", "3"}
	if p := e.opts.password(); p != "" {
		hello = append(hello, "AUTH", "default", p)
	}
	_, err = e.exchange(append(hello, "SETNAME", "gateway")...)
	if err != nil {
		e.hangUp()
	}
	return err
}

func (e *engineClient) exchange(args ...string) (resp.Value, error) {
	_ = e.conn.SetDeadline(time.Now().Add(engineTimeout))
	if _, err := e.conn.Write(resp.AppendCommandStrings(nil, args...)); err != nil {
		e.hangUp()
		return resp.Value{}, err
	}
	v, err := e.r.ReadValue()
	if err != nil {
		e.hangUp()
		return resp.Value{}, err
	}
	return v, v.Err()
}

func (e *engineClient) hangUp() {
	if e.conn != nil {
		_ = e.conn.Close()
	}
	e.conn, e.r = nil, nil
}

func (e *engineClient) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hangUp()
}

var errLinkDown = errors.New("the link to the master is down")

// ready returns nil when the engine can serve: it has loaded its data and,
// as a replica, hears its master.
func (e *engineClient) ready() error {
	fields, err := e.info("replication", "persistence")
	if err != nil {
		return err
	}
	for _, f := range fields {
		switch {
		case f[0] == "master_link_status" && f[1] == "down":
			return errLinkDown
		case f[0] == "loading" && f[1] == "1":
			return errors.New("loading the data")
		}
	}
	return nil
}

// info returns the fields of INFO, in order, as name and value.
func (e *engineClient) info(sections ...string) ([][2]string, error) {
	v, err := e.do(append([]string{"INFO"}, sections...)...)
	if err != nil {
		return nil, err
	}
	var fields [][2]string
	for line := range strings.Lines(string(v.Str)) {
		name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if ok && !strings.HasPrefix(name, "#") {
			fields = append(fields, [2]string{name, value})
		}
	}
	return fields, nil
}
