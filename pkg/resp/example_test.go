package resp_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"

	"byor/pkg/resp"
)

// A server reads commands, and writes each batch of replies at once.
func ExampleCommandReader() {
	in := resp.NewCommandReader(strings.NewReader("*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\nPING\r\n"))
	var sent bytes.Buffer // a connection
	out := resp.NewWriter(&sent)
	for {
		args, err := in.ReadCommand()
		if err != nil { // io.EOF: the client has gone
			break
		}
		switch strings.ToUpper(string(args[0])) {
		case "ECHO":
			out.Bulk(args[1]) // points into the reader's buffer: write it or copy it before the next read
		case "PING":
			out.SimpleString("PONG")
		default:
			out.Error("ERR unknown command")
		}
		if in.Buffered() == 0 { // the end of a pipeline
			_ = out.Flush()
		}
	}
	fmt.Printf("%q\n", sent.String())
	// Output: "$2\r\nhi\r\n+PONG\r\n"
}

// An event loop must not wait: it takes the commands that are whole, and comes back when there are more bytes.
func ExampleCommandReader_Next() {
	network := &deliveries{"*1\r\n$4\r\nPI", "NG\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"}
	in := resp.NewCommandReader(network)
	for len(*network) > 0 { // as often as the kernel says that there is something to read
		_ = in.Fill()
		for {
			args, err := in.Next()
			if errors.Is(err, resp.ErrIncomplete) {
				fmt.Println("to be continued")
				break
			}
			fmt.Printf("%s\n", args)
		}
	}
	// Output:
	// to be continued
	// [PING]
	// [GET k]
	// to be continued
}

// deliveries is a network that delivers one piece at a time.
type deliveries []string

func (p *deliveries) Read(b []byte) (int, error) {
	n := copy(b, (*p)[0])
	*p = (*p)[1:]
	return n, nil
}

// A client sends commands and reads replies. An error reply is a value, and Err makes an error of it.
func ExampleReader() {
	client, server := net.Pipe()
	go func() {
		in, out := resp.NewCommandReader(server), resp.NewWriter(server)
		for {
			args, err := in.ReadCommand()
			if err != nil {
				return
			}
			if len(args) != 2 {
				out.Error("ERR wrong number of arguments")
			} else {
				out.Array(2)
				out.Int(int64(len(args[1])))
				out.Null()
			}
			_ = out.Flush()
		}
	}()
	r := resp.NewReader(client)
	for _, command := range [][]string{{"STRLEN", "four"}, {"STRLEN"}} {
		_, _ = client.Write(resp.AppendCommandStrings(nil, command...))
		v, err := r.ReadValue()
		if err != nil {
			fmt.Println("the connection:", err)
			return
		}
		if err := v.Err(); err != nil {
			fmt.Println("the server:", err)
			continue
		}
		fmt.Println(v.Elems[0].Int, v.Elems[1].Null)
	}
	_ = client.Close()
	// Output:
	// 4 true
	// the server: ERR wrong number of arguments
}
