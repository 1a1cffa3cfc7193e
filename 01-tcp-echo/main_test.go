package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// start serves on a free port until the test ends and returns the address.
func start(t *testing.T, srv *server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- srv.serve(ln) }()
	t.Cleanup(func() {
		ln.Close()
		require.NoError(t, <-done, "a closed listener is the normal end")
	})
	return ln.Addr().String()
}

// dial connects with a deadline, so that a server that says nothing fails a test and never hangs it.
func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return conn.(*net.TCPConn)
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(conn, text)
	require.NoError(t, err)
}

// expect reads exactly len(want) bytes.
func expect(t *testing.T, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(conn, got)
	require.NoError(t, err, "want %q, got %q", want, got)
	require.Equal(t, want, string(got))
}

func TestEchoesALine(t *testing.T) {
	conn := dial(t, start(t, &server{}))
	send(t, conn, "hello\n")
	expect(t, conn, "hello\n")
	send(t, conn, "again\r\n")
	expect(t, conn, "again\r\n")
	send(t, conn, "\n")
	expect(t, conn, "\n")
}

// The pieces go through a pipe without a buffer, so that each is certain to be a Read of its own.
func TestLineInPiecesIsAnsweredOnce(t *testing.T) {
	client, srv := net.Pipe()
	defer client.Close()
	go (&server{}).handle(srv)
	require.NoError(t, client.SetDeadline(time.Now().Add(time.Minute)))
	for _, piece := range []string{"h", "el", "l", "o\nwor"} {
		_, err := io.WriteString(client, piece)
		require.NoError(t, err)
	}
	// Had any piece been echoed earlier, the server would be stuck in that Write instead of
	// reading the next one.
	expect(t, client, "hello\n")
	send(t, client, "ld\n")
	expect(t, client, "world\n")
}

func TestManyLinesInOneWrite(t *testing.T) {
	conn := dial(t, start(t, &server{}))
	send(t, conn, "one\ntwo\nthr")
	expect(t, conn, "one\ntwo\n")
	send(t, conn, "ee\n")
	expect(t, conn, "three\n")
}

func TestHalfCloseBringsTheRest(t *testing.T) {
	conn := dial(t, start(t, &server{}))
	send(t, conn, "one\nno line end")
	require.NoError(t, conn.CloseWrite())
	got, err := io.ReadAll(conn)
	require.NoError(t, err, "the server answers what is left and closes")
	require.Equal(t, "one\nno line end", string(got))
}

func TestBinaryOfOneMegabyte(t *testing.T) {
	random := make([]byte, 1<<20)
	rand.Read(random)
	noLineEnd := bytes.Repeat([]byte{0}, 1<<20)
	addr := start(t, &server{})
	for name, data := range map[string][]byte{"random": random, "without a line end": noLineEnd} {
		t.Run(name, func(t *testing.T) {
			conn := dial(t, addr)
			go func() {
				conn.Write(data)
				conn.CloseWrite()
			}()
			got, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got), "sent %d bytes, got %d that differ", len(data), len(got))
		})
	}
}

func TestFiftyClientsAtOnce(t *testing.T) {
	addr := start(t, &server{})
	silent := dial(t, addr) // says nothing and must delay nobody
	var wg sync.WaitGroup
	for i := range 50 {
		conn := dial(t, addr)
		wg.Go(func() {
			r := bufio.NewReader(conn)
			for j := range 20 {
				line := fmt.Sprintf("client %d line %d\n", i, j)
				io.WriteString(conn, line)
				if got, err := r.ReadString('\n'); err != nil || got != line {
					t.Errorf("want %q, got %q, %v", line, got, err)
				}
			}
		})
	}
	wg.Wait()
	send(t, silent, "now me\n")
	expect(t, silent, "now me\n")
}

func TestTraceShowsChunks(t *testing.T) {
	var out bytes.Buffer
	client, srv := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&server{trace: &out}).handle(srv)
	}()
	send(t, client, "he")
	send(t, client, "y\n")
	expect(t, client, "hey\n")
	client.Close()
	<-done
	require.Equal(t, "#1 connected\n"+
		"#1 in   \"he\"  (2 bytes, 0 line ends)\n"+
		"#1 in   \"y\\n\"  (2 bytes, 1 line ends)\n"+
		"#1 out  \"hey\\n\"  (4 bytes, 1 line ends)\n"+
		"#1 in   end of stream: the client will send no more\n"+
		"#1 closed\n", out.String())
}

// The program as a person runs it: it greets with what to type next and ends on Ctrl-C.
func TestProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("os.Interrupt cannot be sent on Windows")
	}
	bin := redistest.Program(t, "01-tcp-echo")
	cmd := exec.Command(bin, "-addr", "127.0.0.1:0")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	greeting, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	fields := strings.Fields(greeting)
	require.Contains(t, greeting, "nc 127.0.0.1 ")
	conn := dial(t, strings.TrimSuffix(fields[3], "."))
	send(t, conn, "hi\n")
	expect(t, conn, "hi\n")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait(), "Ctrl-C ends it with exit code 0")
}
