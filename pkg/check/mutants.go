package check

import (
	"fmt"
	"slices"

	"byor/pkg/check/course"
)

// Testable returns the mutants of step that a learner's own test can catch, from the basic to the special.
func Testable(root string, step int) ([]course.Mutant, error) {
	all, err := course.Mutants(root)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(m course.Mutant) bool { return m.Step != step || m.NoTest != "" })
	checks := Of(step, 0)
	place := func(m course.Mutant) int {
		return slices.IndexFunc(checks, func(c Check) bool { return c.Name == m.Check })
	}
	slices.SortStableFunc(all, func(a, b course.Mutant) int { return place(a) - place(b) })
	return all, nil
}

// About returns the section of the guide that m's mistake is about: that of the piece in which it is made, and else
// the one that explains what the check asks which finds it.
func About(root string, m course.Mutant) (string, error) {
	piece, ok, err := m.Piece(root)
	if err != nil {
		return "", err
	}
	if ok {
		return sectionOf(piece), nil
	}
	checks := Of(m.Step, 0)
	i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == m.Check })
	if i < 0 {
		return "", fmt.Errorf("%s: step %02d has no check %q", m.Name, m.Step, m.Check)
	}
	pieces, err := course.Pieces(root, m.Step)
	if n := checks[i].After; err == nil && checks[i].Guide == "Build it" && 0 < n && n <= len(pieces) {
		return sectionOf(pieces[n-1]), nil // the whole of "Build it" would tell too little
	}
	return checks[i].Guide, err
}

// sectionOf returns the heading of p in the guide.
func sectionOf(p course.Piece) string { return fmt.Sprintf("%d. %s", p.N, p.Name) }
