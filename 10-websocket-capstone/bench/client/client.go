// Package client is a plain client: it asks one thing and waits for the answer, or fills a server with data as fast as
// that goes. What is measured is sent by package load.
package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"byor/pkg/resp"
)

// Conn is a connection to a server. It is for one goroutine at a time.
type Conn struct {
	net  net.Conn
	in   *resp.Reader
	stop func() bool
}

// Open connects to host:port or, when addr has a slash, to a unix socket.
func Open(ctx context.Context, addr string) (net.Conn, error) {
	network := "tcp"
	if strings.Contains(addr, "/") {
		network = "unix"
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	return d.DialContext(ctx, network, addr)
}

// Dial is Open for a Conn. The end of ctx closes it, and so ends what waits for an answer.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	c, err := Open(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &Conn{c, resp.NewReader(c), context.AfterFunc(ctx, func() { _ = c.Close() })}, nil
}

// Close ends the connection.
func (c *Conn) Close() error {
	c.stop()
	return c.net.Close()
}

// Ask sends a command and returns its reply. An error reply is an error.
func (c *Conn) Ask(args ...string) (resp.Value, error) {
	if _, err := c.net.Write(resp.AppendCommandStrings(nil, args...)); err != nil {
		return resp.Value{}, err
	}
	v, err := c.in.ReadValue()
	if err == nil {
		err = v.Err()
	}
	return v, err
}

// Once dials, asks one thing within the given time, and hangs up.
func Once(ctx context.Context, addr string, limit time.Duration, args ...string) (resp.Value, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c, err := Dial(ctx, addr)
	if err != nil {
		return resp.Value{}, err
	}
	defer func() { _ = c.Close() }()
	return c.Ask(args...)
}

// Ping reports what is wrong with a server that should answer PING.
func Ping(ctx context.Context, addr string) error {
	v, err := Once(ctx, addr, 2*time.Second, "PING")
	if err != nil {
		return err
	}
	if string(v.Str) != "PONG" {
		return fmt.Errorf("the server says %q", v.Str)
	}
	return nil
}

// Config asks a server for one of its settings; a server that does not tell has none.
func (c *Conn) Config(name string) (value string, known bool) {
	v, err := c.Ask("CONFIG", "GET", name)
	if err != nil || len(v.Elems) != 2 {
		return "", false
	}
	return string(v.Elems[1].Str), true
}

// Info asks a server for a section of INFO, by field. A server without it gives no fields.
func (c *Conn) Info(section string) map[string]string {
	fields := map[string]string{}
	v, err := c.Ask("INFO", section)
	if err != nil {
		return fields
	}
	for line := range strings.Lines(string(v.Str)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// inFlight is how many commands Fill sends before it reads their replies.
const inFlight = 500

// Fill sends n commands, many at a time. command appends the words of number i to args. The first error reply ends it.
func (c *Conn) Fill(n int, command func(i int, args []string) []string) error {
	var out []byte
	var args []string
	for i := 0; i < n; {
		out = out[:0]
		sent := 0
		for ; i < n && sent < inFlight && len(out) < 1<<20; i, sent = i+1, sent+1 {
			args = command(i, args[:0])
			out = resp.AppendCommandStrings(out, args...)
		}
		if _, err := c.net.Write(out); err != nil {
			return err
		}
		for ; sent > 0; sent-- {
			v, err := c.in.ReadValue()
			if err = errors.Join(err, v.Err()); err != nil {
				return fmt.Errorf("filling: %w", err)
			}
		}
	}
	return nil
}
