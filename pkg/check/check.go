// Package check judges a server from outside: it opens sockets, sends bytes, looks at what comes
// back, and says in words what is wrong. It knows nothing of the server's inside (where only its
// system calls can tell, strace shows them), so it judges a step of the course, a learner's own
// server in any language and a real redis-server alike.
//
// A check is a function over a *T, which gives it connections, servers to start, kill and restart,
// and ways to fail. Package stepNN holds the checks of step NN and of its exercises; steps brings in all of them,
// and without it there are none. A check that fails names the likely cause (a hint) and the section of the guide that explains it. No
// answer is waited for longer than Runner's Limit, and what was started is ended in any case.
// Below this folder, process starts and ends servers, trace makes bytes readable, and course knows the
// steps' folders and makes the skeletons and the mutants. mytest turns it around: it judges a learner's test.
//
// The checks are themselves checked: a real redis-server passes them, the step before
// fails the new ones, and a patch for each mistake that people make (testdata/mutants) fails with
// the hint that names that mistake. See calibrate_test.go.
//
// # What a server must accept
//
// A step's binary takes -addr host:port and, from the step that brings them on, -dir DIR and
// -appendfsync always|everysec|no (05), -appendonly yes|no (06, where the log becomes optional) and
// -replicaof host:port (08). Flags that a binary does not list in -h are not given to it.
// Step 10 takes redis-server's command line. A server started with CMD= finds the same in its
// environment: PORT, DIR, APPENDONLY, APPENDFSYNC, REPLICAOF (host:port), MASTER_HOST, MASTER_PORT, and in ARGS
// the flags that an exercise asks for.
package check

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// A Check is one question to a server.
type Check struct {
	Name  string // unique within its step and exercise, in kebab-case
	Step  int    // the step that teaches what is asked
	Ex    int    // the exercise it belongs to; 0 is the step itself
	What  string // what is asked, in one line
	Hint  string // the most likely cause when it fails; Run may name a better one with T.Hint
	Guide string // section of the step's GUIDE.md that explains it
	Run   func(*T)

	// After is the number of the piece of the step's guide after which the check can pass: with pieces 1 to
	// After written it does. 0 means that the skeleton passes.
	After int

	// Until is the last step whose server still has to pass; 0 means all later ones.
	Until int
	// NotRedis says why a real redis-server is not asked; "" means that it must pass.
	NotRedis string
	// Before says why the step before passes too; "" means that it must fail.
	Before string
	// Own says that the check starts servers of its own, so it cannot run against ADDR=.
	Own bool
	// Net says that the check is about the network and not about commands: a server written from an
	// empty file is asked for it at every later step, too.
	Net bool
	// Slow checks get this many times the usual limit; 0 means 1.
	Slow int
}

// all is filled by the init functions of the packages stepNN, and kept in the order of steps and pieces.
var all []Check

// Register adds the checks of step's exercise ex, 0 for the step itself, in the order in which they are asked. It is
// for the init functions of the packages stepNN, and panics when a check is incomplete.
func Register(step, ex int, checks ...Check) {
	for _, c := range checks {
		c.Step, c.Ex = step, ex
		if c.Run == nil || c.Name == "" || c.Hint == "" {
			panic(fmt.Sprintf("check: step %d: check %q is incomplete", step, c.Name))
		}
		if c.Guide == "" {
			c.Guide = "Mistakes people make"
		}
		all = append(all, c)
	}
	sort.SliceStable(all, func(i, j int) bool {
		if all[i].Step != all[j].Step {
			return all[i].Step < all[j].Step
		}
		return all[i].After < all[j].After
	})
}

// Of returns the checks of step; ex 0 asks for the step's own, k for those of exercise k.
func Of(step, ex int) []Check {
	var out []Check
	for _, c := range all {
		if c.Step == step && c.Ex == ex {
			out = append(out, c)
		}
	}
	return out
}

// Applying returns all of the steps' own checks that the server of step must pass: those of step,
// and those of earlier steps that have not ended before it.
func Applying(step int) []Check {
	var out []Check
	for _, c := range all {
		if c.Ex == 0 && c.Step <= step && (c.Until == 0 || step <= c.Until) {
			out = append(out, c)
		}
	}
	return out
}

// Asked returns what `make check-NN` asks, from the basic to the special. For a step these are its own checks,
// and behind them those of earlier steps that are about a hostile network. For an exercise these are the
// exercise's, and behind them the quick ones of the step: what holds before an exercise holds after it.
func Asked(step, ex int) []Check {
	out := Of(step, ex)
	for _, c := range Applying(step) {
		switch {
		case ex == 0 && c.Net && c.Step < step, ex > 0 && c.Step == step && c.Slow <= 1:
			out = append(out, c)
		}
	}
	return out
}

// Named returns those of checks whose names are given, in the order of checks. It is an error to name one that is
// not there.
func Named(checks []Check, names []string) ([]Check, error) {
	var out []Check
	for _, c := range checks {
		if slices.Contains(names, c.Name) {
			out = append(out, c)
		}
	}
	for _, n := range names {
		if !slices.ContainsFunc(out, func(c Check) bool { return c.Name == n }) {
			var known []string
			for _, c := range checks {
				known = append(known, c.Name)
			}
			return nil, fmt.Errorf("there is no check %q; there are %s", n, strings.Join(known, ", "))
		}
	}
	return out, nil
}

// Until returns those of a step's checks that can pass when the pieces up to the upto-th have been written.
func Until(checks []Check, step, upto int) []Check {
	return slices.DeleteFunc(slices.Clone(checks), func(c Check) bool { return c.Step != step || c.After > upto })
}

// Waiting divides checks of step into those that can be asked while the pieces with the numbers in unwritten
// (ascending) are not there, and those that wait for one of them. Checks of other steps wait for all.
func Waiting(checks []Check, step int, unwritten []int) (ask, wait []Check) {
	for _, c := range checks {
		if len(unwritten) > 0 && (c.Step != step || c.Ex > 0 || c.After >= unwritten[0]) {
			wait = append(wait, c)
		} else {
			ask = append(ask, c)
		}
	}
	return ask, wait
}

// Exercises returns the numbers of step's exercises that have checks, ascending.
func Exercises(step int) []int {
	seen := map[int]bool{}
	var out []int
	for _, c := range all {
		if c.Step == step && c.Ex > 0 && !seen[c.Ex] {
			seen[c.Ex] = true
			out = append(out, c.Ex)
		}
	}
	sort.Ints(out)
	return out
}
