package process_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"byor/pkg/check/course"
	"byor/pkg/check/process"
)

// Step 01 is built, started on a port of its own, asked something, and ended.
func ExampleStart() {
	root, err := course.Root()
	if err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "step01")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "echo.exe")
	if err := course.Build(root, course.Folders[1], bin, ""); err != nil {
		panic(err)
	}
	s, err := process.Start(context.Background(), process.StepTarget(1, bin), process.Options{})
	if err != nil {
		panic(err)
	}
	defer s.End()
	conn, err := net.Dial("tcp", s.Addr)
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "hello")
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		panic(err)
	}
	fmt.Print(line)
	s.Kill() // kill -9
	fmt.Println("alive:", s.Alive())
	// Output:
	// hello
	// alive: false
}
