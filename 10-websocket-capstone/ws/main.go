// Command ws is a browser for the terminal: it opens a WebSocket to the gateway, sends each of its
// arguments as a message, and prints what comes back.
//
//	ws 8080 '{"id":1,"op":"ping"}'                      a request, and its answer
//	ws -stay 8080 '{"id":1,"op":"sub","channels":["a"]}'    goes on printing until Ctrl-C
//	ws -resp 8080 'PING\r\n'                            byor.resp.v1: bytes, with the escapes of Go
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

type options struct {
	port   string
	origin string        // of the page that a browser would show; "" sends none
	proto  string        // the subprotocol; "" offers none
	resp   bool          // byor.resp.v1
	binary bool          // send binary frames
	stay   bool          // go on printing
	trace  bool          // show the bytes
	wait   time.Duration // for an answer
}

func main() {
	var o options
	flag.StringVar(&o.origin, "origin", "", "the `address` of the page that connects; none: a program that is no browser")
	flag.StringVar(&o.proto, "proto", "", "the `subprotocol` to ask for")
	flag.BoolVar(&o.resp, "resp", false, "speak byor.resp.v1: messages are bytes, \\r\\n and \\x00 are understood")
	flag.BoolVar(&o.binary, "binary", false, "send binary frames")
	flag.BoolVar(&o.stay, "stay", false, "print what comes until Ctrl-C, or until the server hangs up")
	flag.BoolVar(&o.trace, "trace", false, "print what goes over the connection")
	flag.DurationVar(&o.wait, "wait", 2*time.Second, "how long to wait for an answer")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: ws [options] PORT [MESSAGE]…")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	o.port = flag.Arg(0)
	if err := run(os.Stdout, o, flag.Args()[1:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// run is one conversation.
func run(out io.Writer, o options, messages []string) error {
	ws, err := dial(out, o)
	if err != nil {
		return err
	}
	defer ws.Close()
	if len(messages) == 0 && !o.stay {
		fmt.Fprintln(out, "101 Switching Protocols")
		return nil
	}
	kind := websocket.TextMessage
	if o.resp || o.binary {
		kind = websocket.BinaryMessage
	}
	heard := make(chan []byte)
	ended := make(chan error, 1)
	go func() { ended <- listen(ws, heard) }()
	for i, msg := range messages {
		if o.resp {
			if msg, err = strconv.Unquote(`"` + strings.ReplaceAll(msg, `"`, `\"`) + `"`); err != nil {
				return fmt.Errorf("%q: %w", messages[i], err)
			}
		}
		if err := ws.WriteMessage(kind, []byte(msg)); err != nil && o.resp {
			return err // else what came instead is printed
		}
		if o.resp && i < len(messages)-1 {
			continue // a frame is no command: nothing need come
		}
		if over, err := answer(out, o, heard, ended); over {
			return err
		}
	}
	if !o.stay {
		return nil
	}
	o.wait = 365 * 24 * time.Hour
	for {
		if over, err := answer(out, o, heard, ended); over {
			return err
		}
	}
}

// dial connects; the status of a refusal is the error.
func dial(out io.Writer, o options) (*websocket.Conn, error) {
	d := websocket.Dialer{HandshakeTimeout: o.wait}
	if o.trace {
		d.NetDial = func(network, addr string) (net.Conn, error) {
			c, err := net.Dial(network, addr)
			return &traced{c, out}, err
		}
	}
	if o.resp {
		o.proto = "byor.resp.v1"
	}
	if o.proto != "" {
		d.Subprotocols = []string{o.proto}
	}
	header := http.Header{}
	if o.origin != "" {
		header.Set("Origin", o.origin)
	}
	ws, res, err := d.Dial("ws://"+net.JoinHostPort("127.0.0.1", o.port)+"/ws", header)
	if errors.Is(err, websocket.ErrBadHandshake) {
		body, _ := io.ReadAll(res.Body)
		return nil, fmt.Errorf("%s\n%s", res.Status, bytes.TrimSpace(body))
	}
	return ws, err
}

// listen passes on what comes until the connection ends.
func listen(ws *websocket.Conn, heard chan<- []byte) error {
	for {
		_, b, err := ws.ReadMessage()
		if err != nil {
			return err
		}
		heard <- b
	}
}

// answer prints what comes until a request has been answered, or the server hangs up.
func answer(out io.Writer, o options, heard <-chan []byte, ended <-chan error) (over bool, err error) {
	wait := time.NewTimer(o.wait)
	silent := true
	for {
		select {
		case b := <-heard:
			if o.resp {
				fmt.Fprintf(out, "%q\n", b)
				wait.Reset(200 * time.Millisecond) // is there more?
				silent = false
				continue
			}
			if !o.trace { // else it has been printed
				fmt.Fprintf(out, "%s\n", b)
			}
			if bytes.Contains(b, []byte(`"id":`)) {
				return false, nil
			}
		case err := <-ended:
			var closed *websocket.CloseError
			if errors.As(err, &closed) {
				return true, errors.New(strings.TrimSpace(fmt.Sprintf("closed: %d %s", closed.Code, closed.Text)))
			}
			return true, fmt.Errorf("the connection has ended: %w", err)
		case <-wait.C:
			if silent && !o.stay {
				fmt.Fprintln(out, "(no answer)")
			}
			return false, nil
		}
	}
}
