package check

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"byor/pkg/check/course"
	"byor/pkg/check/process"
	"byor/pkg/check/trace"
)

// Result is a check's verdict.
type Result struct {
	Step     int      `json:"step"`
	Ex       int      `json:"exercise,omitempty"`
	Name     string   `json:"name"`
	What     string   `json:"what"`
	Status   Status   `json:"status"`
	Why      string   `json:"why,omitempty"` // of a skip
	Sent     string   `json:"sent,omitempty"`
	Expected string   `json:"expected,omitempty"`
	Got      string   `json:"got,omitempty"`
	Hint     string   `json:"hint,omitempty"`
	Seen     bool     `json:"seen,omitempty"` // Hint goes by what came back, and needs no other beside it
	Guide    string   `json:"guide,omitempty"`
	Ms       int64    `json:"ms"`
	Traffic  []string `json:"traffic,omitempty"`
	After    int      `json:"after,omitempty"` // see Check
	Mute     bool     `json:"mute,omitempty"`  // when it failed, no client got an answer any more

	// Unasked says of a skipped check that the server was not asked, although it could be in another
	// run: with CMD= instead of ADDR=, or without an interruption. Such a run proves nothing as a whole.
	Unasked bool `json:"-"`
}

// Status is passed, failed or skipped.
type Status string

// The verdicts. Skipped is a check that could not be made, and says nothing about the server.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Skipped Status = "skipped"
)

// Runner runs checks against a target.
type Runner struct {
	Limit   time.Duration // how long one answer may take; 0 is 3 s
	Traffic bool          // results carry all traffic, annotated
	Workers int           // checks run at once; 0 is 1
	Each    func(Result)  // called with every result as it comes, from one goroutine at a time
}

// Run runs checks against target and returns their results in order. It returns when ctx ends, too:
// then the checks not made are skipped. Whatever was started is ended before it returns. The error says that
// the server itself could not be started.
func (r *Runner) Run(ctx context.Context, target *process.Target, checks []Check) ([]Result, error) {
	shared := &sharedServer{target: target}
	defer shared.end()
	if err := shared.ensure(ctx); err != nil {
		return nil, err
	}
	results := make([]Result, len(checks))
	workers := max(1, r.Workers)
	next := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			silent := 0 // checks in a row that left the server mute
			for i := range next {
				results[i] = r.next(ctx, shared, checks[i], silent)
				if silent++; !results[i].Mute {
					silent = 0
				}
				mu.Lock()
				if r.Each != nil {
					r.Each(results[i])
				}
				mu.Unlock()
			}
		}()
	}
	for i := range checks {
		next <- i
	}
	close(next)
	wg.Wait()
	return results, nil
}

// sharedServer is the server that the checks of a run share. One that a check brought down is
// started again for the next, so that one fault does not show as many.
type sharedServer struct {
	target *process.Target
	mu     sync.Mutex
	s      *process.Server
	dir    string
}

func (h *sharedServer) ensure(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.target.Kind == process.KindAddr {
		if h.s != nil {
			return nil
		}
		c, err := (&net.Dialer{Timeout: process.StartLimit}).DialContext(ctx, "tcp", h.target.Addr)
		if err != nil {
			return fmt.Errorf("nobody accepts a connection on %s: %s", h.target.Addr, PlainErr(err))
		}
		c.Close()
		h.s = &process.Server{Addr: h.target.Addr, Ctx: ctx, Target: h.target}
		return nil
	}
	if h.s != nil && h.s.Alive() {
		return nil
	}
	if h.dir == "" {
		dir, err := os.MkdirTemp("", "byor-check-")
		if err != nil {
			return err
		}
		h.dir = dir
	}
	s, err := process.Start(ctx, h.target, process.Options{Dir: h.dir})
	if err != nil {
		if s != nil {
			s.End()
		}
		return fmt.Errorf("the server does not start: %w", err)
	}
	h.s = s
	return nil
}

func (h *sharedServer) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.s != nil {
		h.s.End()
	}
	if h.dir != "" {
		os.RemoveAll(h.dir)
	}
}

// next runs a check, unless the server was mute too often. A mute one is started again, but not below
// the feet of checks that run at the same time.
func (r *Runner) next(ctx context.Context, shared *sharedServer, c Check, silent int) Result {
	alone := r.Workers <= 1
	if alone && silent >= muteEnough {
		res := unasked(Result{Step: c.Step, Ex: c.Ex, After: c.After, Name: c.Name, What: c.What}, muteRest)
		res.Mute = true // as far as one knows
		return res
	}
	res := r.one(ctx, shared, c)
	if res.Status == Failed && res.Ms >= r.limit().Milliseconds() && shared.mute(ctx, r.limit()) {
		res.Mute = true
		if alone {
			shared.drop()
		}
	}
	return res
}

func (r *Runner) limit() time.Duration {
	if r.Limit == 0 {
		return 3 * time.Second
	}
	return r.Limit
}

// one runs a check in a goroutine of its own and gives up on it when its time is over.
func (r *Runner) one(ctx context.Context, shared *sharedServer, c Check) Result {
	limit := r.limit()
	all := ctx
	ctx, cancel := context.WithTimeout(ctx, 5*limit*time.Duration(max(1, c.Slow)))
	defer cancel()
	res := Result{Step: c.Step, Ex: c.Ex, After: c.After, Name: c.Name, What: c.What, Status: Passed}
	begin := time.Now()
	switch {
	case all.Err() != nil:
		return unasked(res, interrupted)
	case c.Own && shared.target.Kind == process.KindAddr:
		return unasked(res, notByAddr)
	}
	if err := shared.ensure(ctx); err != nil { // it ran before: the check in front of this one has ended it
		res.Status, res.Expected, res.Got = Failed, "the server runs, or can be started again", err.Error()
		res.Hint = "the server has ended during an earlier check: look there first"
		return res
	}
	t := &T{ctx: ctx, target: shared.target, shared: shared.s, Limit: limit, log: &trace.Traffic{On: r.Traffic, Plain: c.Step == 1},
		hint: c.Hint, guide: c.Guide}
	p := inTime(ctx, t, c)
	if f, failed := p.(Failure); failed {
		f.Got += t.crash(f.Got)
		p = f
	}
	t.close()
	res.Ms = time.Since(begin).Milliseconds()
	if _, failed := p.(Failure); failed && all.Err() != nil {
		return unasked(res, interrupted) // by Ctrl-C, and not by a fault of the server
	}
	return verdict(res, t, c, p)
}

// inTime runs a check until it ends or ctx does, and returns what it panicked with: its failure, nil if it passes.
func inTime(ctx context.Context, t *T, c Check) any {
	begin := time.Now()
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		c.Run(t)
	}()
	select {
	case p := <-ended:
		return p
	case <-ctx.Done():
	}
	late := Failure{Want: "the check ends", Got: "it was given up after " + time.Since(begin).Round(time.Second).String(),
		Hint: c.Hint, Guide: c.Guide}
	t.close() // wakes whatever waits on a socket
	select {
	case p := <-ended:
		if f, ok := p.(Failure); ok && f.Got != "" {
			return f
		}
	case <-time.After(time.Second):
	}
	return late
}

// Why a check is skipped that another run would make.
const (
	notByAddr   = "needs a server that the checker can start: use CMD= or DIR= instead of ADDR="
	interrupted = "interrupted"
)

// unasked is a skip for a reason of this run.
func unasked(res Result, why string) Result {
	res.Unasked = true
	return skip(res, why)
}

func skip(res Result, why string) Result {
	res.Status, res.Why = Skipped, why
	return res
}

// verdict turns how the check's function ended into its result.
func verdict(res Result, t *T, c Check, p any) Result {
	res.Traffic = t.log.Lines()
	switch p := p.(type) {
	case nil:
		if t.first[0] != nil {
			res.Sent, res.Got = trace.Visible(t.first[0], 48), trace.Visible(t.first[1], 32)
		}
	case Failure:
		res.Status = Failed
		if len(p.Sent) > 0 {
			res.Sent = trace.Visible(p.Sent, trace.ExcerptMax)
		}
		res.Expected, res.Got, res.Hint, res.Seen = p.Want, p.Got, p.Hint, p.Seen
		if p.At > 0 && len(p.Got) > 60 {
			res.Got += fmt.Sprintf(" (differs at byte %d)", p.At)
		}
		if s := t.shared; s != nil {
			if s.Cmd != nil {
				s.Exit(50 * time.Millisecond) // its last words may come a little after the end of its connections
			}
			res.Got += s.Obituary()
		}
		res.Guide = fmt.Sprintf("%s/GUIDE.md, %q", course.Folders[c.Step], p.Guide)
		if c.Ex > 0 {
			res.Guide = fmt.Sprintf("%s/EXERCISES.md, exercise %d", course.Folders[c.Step], c.Ex)
		}
	case skipped:
		if p == notByAddr {
			return unasked(res, notByAddr)
		}
		return skip(res, string(p))
	default:
		res.Status = Failed
		res.Got = fmt.Sprintf("a fault of the checker itself: %v\n%s", p, debug.Stack())
	}
	return res
}
