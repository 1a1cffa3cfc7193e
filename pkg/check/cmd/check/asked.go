package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"byor/pkg/check"
	"byor/pkg/check/course"
)

// question is what a run asks of a step's server.
type question struct {
	checks []check.Check
	note   string // for the title: which part of all
	part   string // why passing is not being done with the step; "" if it is

	wait      []check.Check // for a piece that is not written yet
	pieces    []course.Piece
	unwritten []int // their numbers
}

// dirOf returns what is judged unless something else is named: the learner's own folder, once it is there.
func dirOf(o options, step int) string {
	own := fmt.Sprintf("work/%02d", step)
	if _, err := os.Stat(filepath.Join(o.root, own)); o.dir+o.addr+o.cmd == "" && o.root != "" && err == nil {
		return own
	}
	return o.dir
}

// asked returns what o asks of the server of step.
func asked(o options, step int) (question, error) {
	q := question{checks: check.Asked(step, o.ex)}
	var err error
	switch {
	case o.ex > 0 && len(check.Of(step, o.ex)) == 0:
		return q, fmt.Errorf("step %02d has no exercise %d with a check", step, o.ex)
	case o.only != "":
		q.checks, err = check.Named(q.checks, strings.Split(o.only, ","))
		q.note, q.part = ", only "+o.only, "only "+o.only+" was asked"
		return q, err
	case o.root == "":
		return q, nil
	}
	if q.pieces, err = course.Pieces(o.root, step); err != nil {
		return q, nil // outside of the course's tree
	}
	if o.upto > 0 {
		return upto(q, o.upto, step)
	}
	if o.dir == "" {
		return q, nil
	}
	q.unwritten = course.Unwritten(o.root, step, o.dir)
	q.checks, q.wait = check.Waiting(q.checks, step, q.unwritten)
	if len(q.wait) > 0 {
		q.part = "there are pieces to be written"
	}
	return q, nil
}

// upto leaves of q what can pass after the n-th piece.
func upto(q question, n, step int) (question, error) {
	if n > len(q.pieces) {
		return q, fmt.Errorf("step %02d has %d pieces", step, len(q.pieces))
	}
	all := len(check.Of(step, 0))
	q.checks = check.Until(q.checks, step, n)
	q.note = fmt.Sprintf(": %s after piece %d, %s", can(len(q.checks), all), n, q.pieces[n-1].Name)
	q.part = fmt.Sprintf("only what can pass after piece %d was asked", n)
	return q, nil
}

// can says in words which of all checks n are.
func can(n, all int) string {
	switch n {
	case 0:
		return fmt.Sprintf("none of its %d checks can pass yet,", all)
	case 1:
		return fmt.Sprintf("the one of its %d checks that can pass", all)
	case all:
		return fmt.Sprintf("all its %d checks can pass", all)
	}
	return fmt.Sprintf("the %d of its %d checks that can pass", n, all)
}
