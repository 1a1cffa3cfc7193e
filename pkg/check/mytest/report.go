package mytest

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"byor/pkg/check/course"
)

// Report prints how a test does: what it catches at once, what slips through at the end. Which mistake slipped
// through is not told: finding that out is the exercise.
type Report struct {
	W       io.Writer
	Step    int
	Verbose bool // what the test said of each mistake that it caught
	JSON    bool // an object a line, in place of sentences

	slipped []Verdict
}

// Title opens the report on the test in file.
func (p *Report) Title(file string, t *Test, j *Judge) {
	if !p.JSON {
		fmt.Fprintf(p.W, "%s, judging %s (tests: %d) by the right server and by %d with a mistake\n",
			course.Folders[p.Step], file, len(t.Names), len(j.Mistakes))
	}
}

// line is what JSON says of a verdict, and at the end of all.
type line struct {
	Step     int    `json:"step"`
	Exercise string `json:"exercise"`
	Caught   *bool  `json:"caught,omitempty"` // a mistake
	Mistake  string `json:"mistake,omitempty"`
	About    string `json:"about,omitempty"`
	Ms       int64  `json:"ms,omitempty"`
	Passed   *bool  `json:"passed,omitempty"` // the exercise
	Count    int    `json:"count,omitempty"`  // of mistakes caught
	Asked    int    `json:"asked,omitempty"`
	Why      string `json:"why,omitempty"`
	Output   string `json:"output,omitempty"`
}

func (p *Report) json(l line) {
	l.Step, l.Exercise = p.Step, "test"
	json.NewEncoder(p.W).Encode(l)
}

// Verdict prints one verdict, or keeps it if the mistake slipped through.
func (p *Report) Verdict(v Verdict) {
	switch {
	case p.JSON && v.Caught:
		p.json(line{Caught: &v.Caught, Mistake: v.Words, About: v.About, Ms: v.Took.Milliseconds(), Output: v.Output})
	case p.JSON:
		p.json(line{Caught: &v.Caught, About: v.About, Ms: v.Took.Milliseconds()})
	case !v.Caught:
		p.slipped = append(p.slipped, v)
	default:
		fmt.Fprintf(p.W, "  caught   %s\n", v.Words)
		if p.Verbose {
			p.indented(v.Output)
		}
	}
}

// Outcome closes the report.
func (p *Report) Outcome(o Outcome) {
	asked, pass := len(o.Verdicts), o.Pass()
	if p.JSON {
		p.json(line{Passed: &pass, Count: o.Caught(), Asked: asked, Why: o.Stop, Output: o.Output})
		return
	}
	p.slippedBySection()
	switch {
	case o.Stop != "" && o.Output == "":
		fmt.Fprintf(p.W, "%s.\n", o.Stop)
	case o.Stop != "":
		fmt.Fprintf(p.W, "%s:\n", o.Stop)
		p.indented(o.Output)
	case pass:
		fmt.Fprintf(p.W, "%d of %d caught: a pass (four fifths are %d)\n", o.Caught(), asked, enough(asked))
	default:
		fmt.Fprintf(p.W, "%d of %d caught: not yet a pass (four fifths are %d)\n", o.Caught(), asked, enough(asked))
	}
}

// slippedBySection prints a line for each section of the guide that a mistake which slipped through is about.
func (p *Report) slippedBySection() {
	var sections []string
	count := map[string]int{}
	for _, v := range p.slipped {
		if count[v.About]++; count[v.About] == 1 {
			sections = append(sections, v.About)
		}
	}
	for _, s := range sections {
		what := "a mistake"
		if n := count[s]; n > 1 {
			what = fmt.Sprintf("%d mistakes", n)
		}
		fmt.Fprintf(p.W, "  slipped  %s about %q in GUIDE.md\n", what, s)
	}
}

func (p *Report) indented(s string) {
	if s != "" {
		fmt.Fprintf(p.W, "           %s\n", strings.ReplaceAll(s, "\n", "\n           "))
	}
}
