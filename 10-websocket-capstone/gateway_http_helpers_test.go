package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// startHTTP starts a gateway that serves commands over plain HTTP.
func startHTTP(t *testing.T, change func(o *gatewayOptions), engineArgs ...string) *testGateway {
	t.Helper()
	return startGateway(t, func(o *gatewayOptions) {
		o.HTTPCommands = true
		if change != nil {
			change(o)
		}
	}, engineArgs...)
}

// request makes an HTTP request with some headers.
func (g *testGateway) request(ctx context.Context, method, path, body string, headers ...string) *http.Request {
	g.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, g.http.URL+path, strings.NewReader(body))
	require.NoError(g.t, err)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	return req
}

// ask makes a request and returns the answer.
func (g *testGateway) ask(method, path, body string, headers ...string) (*http.Response, string) {
	g.t.Helper()
	r, err := http.DefaultClient.Do(g.request(g.t.Context(), method, path, body, headers...))
	require.NoError(g.t, err)
	return r, readAll(g.t, r)
}

func readAll(t *testing.T, r *http.Response) string {
	t.Helper()
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(text)
}

// post sends a command as a JSON array.
func (g *testGateway) post(array string, headers ...string) (*http.Response, string) {
	g.t.Helper()
	return g.ask("POST", "/c", array, append([]string{"Content-Type", "application/json"}, headers...)...)
}

// blocked waits until so many clients of the engine are in a command that blocks.
func (g *testGateway) blocked(want string) {
	g.t.Helper()
	g.eventually(func() bool {
		info, err := g.engine.info("clients")
		require.NoError(g.t, err)
		for _, f := range info {
			if f[0] == "blocked_clients" {
				return f[1] == want
			}
		}
		return false
	}, want+" commands block")
}

// places is how many places are taken.
func (g *testGateway) places() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.sockets) + g.upgrading
}

// events is an event stream that is being read.
type events struct {
	*http.Response
	g     *testGateway
	lines *bufio.Reader
}

func (g *testGateway) events(path string, headers ...string) *events {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 2*patience)
	r, err := http.DefaultClient.Do(g.request(ctx, "GET", path, "", headers...))
	require.NoError(g.t, err)
	g.t.Cleanup(func() { cancel(); _ = r.Body.Close() })
	require.Equal(g.t, 200, r.StatusCode)
	return &events{r, g, bufio.NewReader(r.Body)}
}

// line returns the next line.
func (e *events) line() string {
	e.g.t.Helper()
	line, err := e.lines.ReadString('\n')
	require.NoError(e.g.t, err)
	return strings.TrimSuffix(line, "\n")
}

func (e *events) expect(lines ...string) {
	e.g.t.Helper()
	for _, want := range lines {
		require.Equal(e.g.t, want, e.line())
	}
}

// ends waits for the end of the stream, which must be a proper one.
func (e *events) ends() {
	e.g.t.Helper()
	_, err := e.lines.ReadByte()
	require.ErrorIs(e.g.t, err, io.EOF)
}
