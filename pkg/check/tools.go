package check

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"time"

	"byor/pkg/check/process"
	"byor/pkg/resp"
)

// What the checks of the exercises need beside servers: the program as a client, go test, INFO.

// Finished is how a program ended that was run to its end.
type Finished struct {
	Stdout, Stderr string
	Code           int
}

// RunProgram runs the server's own program with args to its end, for exercises that make it a client.
func (t *T) RunProgram(d time.Duration, stdin string, args ...string) Finished {
	var cmd *exec.Cmd
	switch t.target.Kind {
	case process.KindAddr:
		t.Skip("needs the program itself: use CMD= or DIR= instead of ADDR=")
	case process.KindCmd:
		cmd = t.target.Shell(process.Options{Extra: args}, 0)
	default:
		cmd = exec.Command(t.target.Path, args...)
	}
	var out, errs strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	process.OwnGroup(cmd)
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fail("the program starts", err.Error())
	}
	done := make(chan bool)
	go func() {
		cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Until(t.Deadline(d))):
		process.SignalGroup(cmd, 9)
		<-done
		t.Fail("the program ends by itself within "+d.String(), "it still ran")
	}
	return Finished{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// GoTest runs the tests of the server's package that match run, and returns what go test printed.
func (t *T) GoTest(run string) (out string, ok bool) {
	src := t.target.Source
	if src == nil {
		t.Skip("needs the server's source: use DIR= instead of ADDR= or CMD=")
	}
	args := []string{"test", "-v", "-count=1", "-run", run}
	if src.Overlay != "" {
		args = append(args, "-overlay", src.Overlay)
	}
	ctx, cancel := context.WithDeadline(t.ctx, t.Deadline(time.Hour))
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+src.Dir)...)
	cmd.Dir = src.Root
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	b, err := cmd.CombinedOutput()
	return string(b), err == nil
}

// Info asks INFO and returns its lines by name.
func (c *Conn) Info() map[string]string { return c.InfoOf() }

// InfoOf is Info for some sections.
func (c *Conn) InfoOf(sections ...string) map[string]string {
	v := c.Do(append([]string{"INFO"}, sections...)...)
	c.T.Require(v.Kind == resp.BulkString && !v.Null, "INFO answers a bulk string", "%s", Text(v))
	out := map[string]string{}
	for _, line := range strings.Split(string(v.Str), "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			out[name] = value
		}
	}
	return out
}

// AllPass runs checks against s, as parts of this one.
func (t *T) AllPass(s *process.Server, checks []Check) {
	for _, c := range checks {
		sub := &T{ctx: t.ctx, target: t.target, shared: s, Limit: t.Limit, log: t.log, hint: c.Name + ": " + c.Hint, guide: c.Guide}
		func() {
			defer sub.close()
			c.Run(sub)
		}()
	}
}
