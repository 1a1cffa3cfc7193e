// Package trace shows what goes over a wire: each byte visible, each piece of RESP with what it means, and the
// frames of a connection as they pass, beside those of a real Redis.
package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Proxy stands between a client and a server and prints every frame that passes: its offset in the
// stream, its length, its pieces and what they mean. With a second server (a real redis-server) every byte
// of the client goes there, too, and its answers are printed beside those of the first.
type Proxy struct {
	Server string    // host:port
	Second string    // host:port, or "" for none
	Out    io.Writer // gets whole lines

	mu    sync.Mutex
	conns int
}

// waitSecond is how long a reply waits for the second server's, to be printed beside it.
const waitSecond = 300 * time.Millisecond

// Serve accepts clients from ln until ctx ends.
func (p *Proxy) Serve(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for {
		c, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go p.handle(ctx, c)
	}
}

func (p *Proxy) handle(ctx context.Context, client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	p.conns++
	id := fmt.Sprintf("#%d", p.conns)
	p.mu.Unlock()
	server, err := net.Dial("tcp", p.Server)
	if err != nil {
		p.say(id, "the server does not answer:", err.Error())
		return
	}
	defer server.Close()
	var second net.Conn
	if p.Second != "" {
		if second, err = net.Dial("tcp", p.Second); err == nil {
			defer second.Close()
		}
	}
	stop := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
	defer stop()
	pair := &pairing{p: p, id: id, alone: second == nil}
	if second != nil {
		go pump(second, nil, &framer{each: pair.second})
	}
	go func() {
		pump(server, client, &framer{each: pair.first})
		pair.flush()
		p.say(id, "<- closed by the server")
		client.Close()
	}()
	pump(client, tee(server, second), &framer{fromClient: true, each: func(off int, b []byte) { p.frame(id, "->", off, b, true, "") }})
	p.say(id, "-> closed by the client")
	for _, c := range []net.Conn{server, second} {
		if h, ok := c.(interface{ CloseWrite() error }); ok {
			h.CloseWrite()
		}
	}
	pair.await(server)
}

// tee writes to both; an error of the second is not the client's concern.
func tee(first, second net.Conn) io.Writer {
	return writerFunc(func(b []byte) (int, error) {
		if second != nil {
			second.Write(b)
		}
		return first.Write(b)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// pump copies from to to (nil drops) and shows f what passes.
func pump(from net.Conn, to io.Writer, f *framer) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		f.add(buf[:n])
		if n > 0 && to != nil {
			if _, werr := to.Write(buf[:n]); werr != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	f.end()
}

// framer cuts a stream into frames and calls each with their offset in the stream.
type framer struct {
	fromClient bool
	each       func(off int, b []byte)
	buf        []byte
	off        int
}

// frameMax bounds what is kept of a frame that is not whole.
const frameMax = 1 << 20

func (f *framer) add(b []byte) {
	f.buf = append(f.buf, b...)
	for len(f.buf) > 0 {
		n := frameLen(f.buf, f.fromClient)
		if n == 0 {
			if len(f.buf) < frameMax {
				return
			}
			n = len(f.buf)
		}
		f.each(f.off, f.buf[:n])
		f.off += n
		f.buf = f.buf[n:]
	}
}

// end shows what is left when the stream ends.
func (f *framer) end() {
	if len(f.buf) > 0 {
		f.each(f.off, f.buf)
		f.buf = nil
	}
}

// frameLen returns the length of the first whole frame in b, or 0.
func frameLen(b []byte, fromClient bool) int {
	due := 1 // parts still to come before the frame is whole
	for off := 0; off < len(b); {
		n, _, elems, whole := onePart(b[off:], fromClient)
		if !whole {
			return 0
		}
		off += n
		if due += max(elems, 0) - 1; due == 0 {
			return off
		}
	}
	return 0
}

func (p *Proxy) say(id string, words ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.Out, "%s %s\n", id, strings.Join(words, " "))
}

// frame prints a frame, a line a part, with beside behind the first line.
func (p *Proxy) frame(id, arrow string, off int, b []byte, fromClient bool, beside string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.Out, "%s %s offset %d, %d bytes%s\n", id, arrow, off, len(b), beside)
	for i, part := range Annotate(b, fromClient) {
		if i == 40 {
			fmt.Fprintf(p.Out, "%*s… and more\n", len(id)+4, "")
			break
		}
		fmt.Fprintf(p.Out, "%*s%6d %5d  %s%-32s %s\n", len(id)+1, "", off+part.Offset, part.Len,
			strings.Repeat("  ", part.Depth), part.Text, part.Note)
	}
}

// pairing brings the answers of the two servers together, by their order.
type pairing struct {
	p     *Proxy
	id    string
	alone bool

	mu     sync.Mutex
	firsts [][]byte
	offs   []int
	others [][]byte
	shown  int
	ended  bool
}

func (q *pairing) first(off int, b []byte) {
	q.mu.Lock()
	q.firsts, q.offs = append(q.firsts, append([]byte{}, b...)), append(q.offs, off)
	n := len(q.firsts)
	q.mu.Unlock()
	q.show(false)
	if !q.alone {
		time.AfterFunc(waitSecond, func() {
			q.mu.Lock()
			late := q.shown < n
			q.mu.Unlock()
			if late {
				q.show(true)
			}
		})
	}
}

func (q *pairing) second(_ int, b []byte) {
	q.mu.Lock()
	q.others = append(q.others, append([]byte{}, b...))
	q.mu.Unlock()
	q.show(false)
}

// show prints the replies that have their counterpart; late prints all there are.
func (q *pairing) show(late bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.shown < len(q.firsts) {
		i := q.shown
		beside := ""
		switch {
		case q.alone:
		case i >= len(q.others) && !late:
			return
		case i >= len(q.others):
			beside = "; redis-server has not answered"
		case string(q.others[i]) == string(q.firsts[i]):
			beside = "; redis-server answers the same"
		default:
			beside = "; redis-server answers differently: " + Visible(q.others[i], 200)
		}
		q.p.frame(q.id, "<-", q.offs[i], q.firsts[i], false, beside)
		q.shown++
	}
}

// flush prints what has waited for its counterpart.
func (q *pairing) flush() {
	if !q.alone {
		time.Sleep(waitSecond)
	}
	q.show(true)
	q.mu.Lock()
	q.ended = true
	q.mu.Unlock()
}

// await gives the server some time to answer what came before the client's end.
func (q *pairing) await(server net.Conn) {
	for range 100 {
		q.mu.Lock()
		ended := q.ended
		q.mu.Unlock()
		if ended {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	server.Close()
}
