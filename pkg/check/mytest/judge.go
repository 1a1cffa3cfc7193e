package mytest

import (
	"context"
	"sync"
	"time"

	"byor/pkg/check/process"
)

// A Mistake is a server that a test should catch.
type Mistake struct {
	Words  string // what it does wrong, in a sentence; told when it is caught
	About  string // the section of the guide that it is about; all that is told when it slips through
	Server func() (*process.Target, error)
}

// Verdict is how a test did against one mistake.
type Verdict struct {
	Mistake
	Caught bool
	Output string        // of the test
	Took   time.Duration // all of it, with building the server
}

// Outcome is how a test did. Stop is why it was not asked any more, and Output what it said then; a pass has neither.
type Outcome struct {
	Verdicts     []Verdict // in the order of the mistakes
	Stop, Output string
}

// Caught returns how many mistakes were caught.
func (o Outcome) Caught() (n int) {
	for _, v := range o.Verdicts {
		if v.Caught {
			n++
		}
	}
	return n
}

// Why a test is not asked any more.
const (
	failsRight     = "It fails against the right server, where it must pass. Mend that first"
	assertsNothing = "It passes where everybody is hung up on, so it asserts nothing. " +
		"Compare what comes back with what should, and call t.Fatal when they differ"
	byChance = "It passed against the right server, and the next time it failed there. " +
		"A test that depends on chance shows nothing"
)

// enough returns how many of n mistakes must be caught: four fifths.
func enough(n int) int { return (4*n + 4) / 5 }

// Pass says whether the test is good enough.
func (o Outcome) Pass() bool {
	return o.Stop == "" && len(o.Verdicts) > 0 && o.Caught() >= enough(len(o.Verdicts))
}

// Judge is what a test meets.
type Judge struct {
	Right    func() (*process.Target, error) // the step as it should be
	Mistakes []Mistake
	Each     func(Verdict) // called with each verdict, in the order of Mistakes
	Patience time.Duration // how long a test may run against the right server; 0 is 20 s
}

const (
	again  = 2 // more runs against the right server, among those against the others
	atOnce = 4 // they wait for sockets more than for a processor
)

func (j *Judge) patience() time.Duration {
	if j.Patience == 0 {
		return 20 * time.Second
	}
	return j.Patience
}

// Run judges t. The error says that something else than t is wrong.
func (j *Judge) Run(ctx context.Context, t *Test) (Outcome, error) {
	right, err := j.Right()
	if err != nil {
		return Outcome{}, err
	}
	first, err := t.against(ctx, right, j.patience())
	if err != nil {
		return Outcome{}, err
	}
	if !first.passed {
		return Outcome{Stop: failsRight, Output: first.output}, nil
	}
	// A test that hangs costs this much each time. The right server took far less.
	limit := min(j.patience(), 5*time.Second+5*first.took)
	nobody, err := t.againstNobody(ctx, limit)
	if err != nil {
		return Outcome{}, err
	}
	if nobody.passed {
		return Outcome{Stop: assertsNothing}, nil
	}
	s := &sitting{Judge: j, test: t, right: right, limit: limit, done: make([]bool, len(j.Mistakes))}
	s.out.Verdicts = make([]Verdict, len(j.Mistakes))
	err = s.run(ctx)
	return s.out, err
}

// sitting is a test's way past all mistakes.
type sitting struct {
	*Judge
	test  *Test
	right *process.Target
	limit time.Duration // a run

	mu   sync.Mutex // protects what follows
	out  Outcome
	done []bool
	told int // verdicts that Each has got
}

// run lets the test meet each mistake, and now and then the right server again: a test that fails by chance would
// seem to catch something.
func (s *sitting) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	jobs := make(chan func() error)
	for range atOnce {
		wg.Go(func() {
			for job := range jobs {
				if ctx.Err() != nil {
					continue
				}
				if err := job(); err != nil {
					stop(err)
				}
			}
		})
	}
	every := len(s.Mistakes)/again + 1
	for i := range s.Mistakes {
		if i%every == every/2 {
			jobs <- func() error { return s.rightAgain(ctx) }
		}
		jobs <- func() error { return s.meet(ctx, i) }
	}
	close(jobs)
	wg.Wait()
	return context.Cause(ctx)
}

func (s *sitting) rightAgain(ctx context.Context) error {
	r, err := s.test.against(ctx, s.right, s.patience())
	if err == nil && !r.passed {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.out.Stop, s.out.Output = byChance, r.output
	}
	return err
}

// meet lets the test meet the i-th mistake, and hands out the verdicts whose turn it is.
func (s *sitting) meet(ctx context.Context, i int) error {
	v, begin := Verdict{Mistake: s.Mistakes[i]}, time.Now()
	target, err := v.Server()
	if err != nil {
		return err
	}
	r, err := s.test.against(ctx, target, s.limit)
	if err != nil {
		return err
	}
	v.Caught, v.Output, v.Took = !r.passed, r.output, time.Since(begin)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Verdicts[i], s.done[i] = v, true
	for ; s.told < len(s.done) && s.done[s.told]; s.told++ {
		if s.Each != nil {
			s.Each(s.out.Verdicts[s.told])
		}
	}
	return nil
}
