package check

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"byor/pkg/check/course"
	"byor/pkg/check/process"
)

// Report prints passes as they come, a line each, and keeps the failures for the end. Of these only the first is
// told in full: it is the most basic one, and others may follow from it.
type Report struct {
	W       io.Writer
	Color   bool
	Verbose bool // the exchange of each pass, all traffic, and every failure in full
	Step    int  // the step that is checked; what belongs to another says so

	failed []Result
}

func (p *Report) paint(code, s string) string {
	if !p.Color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Title opens the report on a target.
func (p *Report) Title(s string) { fmt.Fprintf(p.W, "%s\n", p.paint("1", s)) }

// Result prints one verdict, or keeps it if it is a failure.
func (p *Report) Result(r Result) {
	switch r.Status {
	case Passed:
		fmt.Fprintf(p.W, "  %s    %-26s %s\n", p.paint("32", "ok"), p.name(r), r.What)
		if p.Verbose && r.Sent != "" {
			fmt.Fprintf(p.W, "        %s\n", p.paint("2", r.Sent+" → "+r.Got))
		}
		p.traffic(r)
	case Skipped:
		if r.Why == interrupted || r.Why == muteRest {
			return
		}
		fmt.Fprintf(p.W, "  %s  %-26s %s\n", p.paint("33", "skip"), p.name(r), r.Why)
	case Failed:
		p.failed = append(p.failed, r)
	}
}

// Waiting says which checks were not made, and for which of the unwritten pieces (their numbers, ascending) each
// of them waits: the last one that it needs.
func (p *Report) Waiting(checks []Check, pieces []course.Piece, unwritten []int) {
	for i, n := range unwritten {
		last := i == len(unwritten)-1
		var names []string
		for _, c := range checks {
			own := c.Step == p.Step && c.Ex == 0
			if own && c.After >= n && (last || c.After < unwritten[i+1]) || !own && last {
				names = append(names, p.name(Result{Step: c.Step, Ex: c.Ex, Name: c.Name}))
			}
		}
		if len(names) > 0 {
			fmt.Fprintf(p.W, "  %s  for piece %d, %s: %s\n", p.paint("33", "wait"), n, pieces[n-1].Name, strings.Join(names, ", "))
		}
	}
}

func (p *Report) name(r Result) string {
	switch {
	case r.Ex > 0:
		return fmt.Sprintf("exercise %d: %s", r.Ex, r.Name)
	case p.Step > 0 && r.Step != p.Step:
		return fmt.Sprintf("%02d/%s", r.Step, r.Name)
	}
	return r.Name
}

// failures tells the first failure in full, and names the others.
func (p *Report) failures() {
	for i, r := range p.failed {
		if i > 0 && !p.Verbose {
			break
		}
		fmt.Fprintf(p.W, "  %s  %-26s %s\n", p.paint("31", "FAIL"), p.name(r), r.What)
		p.field("sent", r.Sent)
		p.field("expected", r.Expected)
		p.field("got", r.Got)
		for _, h := range hints(r) {
			p.field("hint", h)
		}
		p.field("guide", r.Guide)
		p.traffic(r)
	}
	if n := len(p.failed) - 1; n > 0 && !p.Verbose {
		var names []string
		for _, r := range p.failed[1:] {
			names = append(names, p.name(r))
		}
		others := fmt.Sprintf("%d others", n)
		if n == 1 {
			others = "1 other"
		}
		p.field("", fmt.Sprintf("Mend this first; %s may follow from it (V=1 shows all): %s", others, strings.Join(names, ", ")))
	}
}

func (p *Report) traffic(r Result) {
	if p.Verbose {
		for _, l := range r.Traffic {
			fmt.Fprintf(p.W, "        %s\n", p.paint("2", l))
		}
	}
}

// hints returns what may help with r, the likeliest first. Where the server answers nobody, crashed or lacks a
// command, the check's own hint is about something else and stays away, unless it could name the cause.
func hints(r Result) []string {
	if r.Seen {
		return []string{r.Hint}
	}
	switch text := missing(r); {
	case text != "":
		return []string{text}
	case r.Mute && muteText(r.Step) == "":
		return []string{r.Hint}
	case r.Mute && waiting.MatchString(r.Hint):
		return []string{muteText(r.Step), "perhaps: " + r.Hint}
	case r.Mute:
		return []string{muteText(r.Step)}
	}
	if text := crashHint(r); text != "" {
		return []string{text, "perhaps: " + r.Hint}
	}
	if text := otherWords(r); text == noCode {
		return []string{text}
	} else if text != "" {
		return []string{text, "perhaps: " + r.Hint}
	}
	return []string{r.Hint}
}

// noCode is about an error whose words are Redis's, and whose code is missing.
const noCode = "the words are right, and the code in front of them is missing. Programs go by it: this error begins with ERR and a space"

// errorLine finds an error that is a whole reply, as a report shows it.
var errorLine = regexp.MustCompile(`^"-([^"\\]*)\\r\\n"(?: \(differs at byte \d+\))?$`)

// otherWords says that the server refused what it had to refuse, and worded it otherwise: the check's own hint is about
// the refusal.
func otherWords(r Result) string {
	want, got := errorLine.FindStringSubmatch(r.Expected), errorLine.FindStringSubmatch(r.Got)
	if want == nil || got == nil {
		return ""
	}
	if want[1] == "ERR "+got[1] {
		return noCode
	}
	words, rest, same := strings.Fields(want[1]), strings.Fields(got[1]), 0
	fewer := min(len(words), len(rest))
	for _, w := range words { // in this order; that is near enough
		if i := slices.Index(rest, w); i >= 0 {
			same++
			rest = rest[i+1:]
		}
	}
	if 3*same < 2*fewer {
		return ""
	}
	return "the server refuses, as it should, but in other words than Redis: compare the two lines letter by letter"
}

// waiting finds the hints that can explain why a server answers nobody.
var waiting = regexp.MustCompile(`(?i)\b(r?locks?|waits?|blocks?|goroutines?|queues?|until sections?)\b`)

// commandName tells a command from a piece of the stream that was taken for one.
var commandName = regexp.MustCompile(`^[A-Za-z]+$`)

// missing says which command or flag the server does not have, if that is why r failed: the check's own hint
// is about mistakes in a command that is there.
func missing(r Result) string {
	const text = "ERR unknown command '"
	if _, flag, found := strings.Cut(r.Got, "flag provided but not defined: "); found {
		flag, _, _ = strings.Cut(flag, "\n")
		return "the server has no flag " + flag + " yet"
	}
	reply, _, _ := strings.Cut(r.Got, process.SaidMark) // what a server says at its end is no reply
	_, after, found := strings.Cut(reply, text)
	name, _, closed := strings.Cut(after, "'")
	if !found || !closed || strings.Contains(r.Expected, text) || !commandName.MatchString(name) {
		return ""
	}
	hint := "the server does not know " + name + " yet: write that command first"
	if r.Ex == 0 && (r.Step == 2 || r.Step == 3) { // where the look-up is the learner's own
		hint += ". It is there? Then it is looked up wrongly: names ignore case"
	}
	return hint
}

// crashHint says that the server crashed, if it did: the check's own hint is about servers that go on.
func crashHint(r Result) string {
	if _, words, found := strings.Cut(r.Got, process.SaidMark); !found || !process.Crashed(words) {
		return ""
	}
	return "the server has crashed: its first words say why, and the first of your files below them says where"
}

func (p *Report) field(name, value string) {
	if value == "" {
		return
	}
	value = strings.ReplaceAll(value, "\n", "\n                  ")
	if name != "" {
		name = fmt.Sprintf("%-9s ", name)
	}
	fmt.Fprintf(p.W, "        %s%s\n", name, value)
}

// Summary closes the report and says whether nothing failed.
func (p *Report) Summary(results []Result) bool {
	p.failures()
	var n [3]int
	for _, r := range results {
		switch r.Status {
		case Passed:
			n[0]++
		case Failed:
			n[1]++
		default:
			n[2]++
		}
	}
	line := fmt.Sprintf("%d passed, %d failed", n[0], n[1])
	if n[2] > 0 {
		line += fmt.Sprintf(", %d skipped", n[2])
	}
	if slices.ContainsFunc(results, func(r Result) bool { return r.Why == muteRest }) {
		line += " (" + muteRest + ")"
	}
	color := "32"
	if n[1] > 0 {
		color = "31"
	}
	fmt.Fprintf(p.W, "%s\n", p.paint(color, line))
	return n[1] == 0
}
