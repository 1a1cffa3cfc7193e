package check_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"byor/pkg/check"
	"byor/pkg/check/course"

	"github.com/stretchr/testify/require"
)

// The guides' "Build it", piece by piece: a contract, something to run, which checks pass now; then, folded,
// a hint and the code.

var (
	greenLine = regexp.MustCompile(`(?m)^Green now: ((?:[^.]|\n)+)\.$`)
	checkName = regexp.MustCompile(`\*([a-z0-9-]+)\*`)
	subtitle  = regexp.MustCompile(`^### (?:(\d+)\. )?`)
)

const (
	hintFold = "<details><summary>Hint</summary>"
	codeFold = "<details><summary>The code</summary>"
)

// pieceSections returns the lines at which the numbered sections of "Build it" begin and end.
func (d doc) pieceSections() (from, to []int) {
	inBuild := false
	open := false
	for i, line := range d.prose {
		if strings.HasPrefix(line, "## ") {
			inBuild = line == "## Build it"
		}
		if open && (strings.HasPrefix(line, "## ") || strings.HasPrefix(line, "### ")) {
			to, open = append(to, i), false
		}
		if m := subtitle.FindStringSubmatch(line); inBuild && m != nil && m[1] != "" {
			from, open = append(from, i), true
		}
	}
	return from, to
}

// folded says whether line i of the text stands in a fold that begins with summary.
func (d doc) folded(i int, summary string) bool {
	for ; i >= 0; i-- {
		switch line := d.prose[i]; {
		case strings.Contains(line, "</details>"):
			return false
		case strings.Contains(line, "<details>"):
			return strings.HasPrefix(line, summary)
		}
	}
	return false
}

func TestDocsPieces(t *testing.T) {
	for _, d := range docs(t) {
		if filepath.Base(d.path) != "GUIDE.md" {
			continue
		}
		t.Run(d.path, func(t *testing.T) {
			pieces, err := course.Pieces(built.root, d.step())
			require.NoError(t, err)
			from, to := d.pieceSections()
			require.Len(t, from, len(pieces))
			for i, p := range pieces {
				d.pieceForm(t, p, from[i], to[i])
			}
			unfoldedForm(t, d, pieces)
		})
	}
}

// pieceForm looks at a piece's section. Where a check turns green there is something to run, too.
func (d doc) pieceForm(t *testing.T, p course.Piece, from, to int) {
	text := strings.Join(d.prose[from:to], "\n")
	name := fmt.Sprintf("%s, piece %d", d.path, p.N)
	require.True(t, 5 <= p.Code && p.Code <= 25, "%s has %d lines of code, and not 5 to 25", name, p.Code)
	hint, code, green := strings.Index(text, hintFold), strings.Index(text, codeFold), greenLine.FindStringSubmatchIndex(text)
	require.True(t, 0 < hint && hint < code, "%s: a hint, folded, then the code, folded", name)
	require.True(t, green != nil && green[0] < hint, "%s: a line `Green now: *check*, *check*.` in front of the hint", name)
	var want, got []string
	for _, c := range check.Of(d.step(), 0) {
		if c.After == p.N {
			want = append(want, c.Name)
		}
	}
	for _, m := range checkName.FindAllStringSubmatch(text[green[2]:green[3]], -1) {
		got = append(got, m[1])
	}
	require.ElementsMatch(t, want, got, "%s: checks that pass after it", name)
	var quotes []string
	shown := len(want) == 0
	for _, b := range d.blocks {
		if b.line < from || b.line >= to {
			continue
		}
		shown = shown || b.lang == "console" && (b.word("upto") == fmt.Sprint(p.N) || b.has("noserver") || b.word("terminal") != "")
		if b.lang == "go" && (d.folded(b.line, codeFold) || !d.folded(b.line, hintFold)) {
			quotes = append(quotes, b.text...)
		}
	}
	for _, line := range regionLines(t, d.step(), p.Name) {
		require.True(t, slices.ContainsFunc(quotes, func(q string) bool { return strings.TrimSpace(q) == line }),
			"%s: no quote in %q has the line\n%s", name, codeFold, line)
	}
	require.True(t, shown, "%s: something to try right after it is written (```console upto=%d)", name, p.N)
}

// regionLines returns the lines of a piece that are to be written.
func regionLines(t *testing.T, step int, name string) (out []string) {
	files, err := filepath.Glob(filepath.Join(built.root, course.Folders[step], "*.go"))
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		in := false
		for _, line := range strings.Split(string(b), "\n") {
			line = strings.TrimSpace(line)
			switch region, begins := strings.CutPrefix(line, "// region: "); {
			case begins:
				in = strings.EqualFold(region, name)
			case line == "// endregion":
				in = false
			case in && line != "" && !strings.HasPrefix(line, "//"):
				out = append(out, line)
			}
		}
	}
	return out
}

// unfoldedForm wants at most a third of what is to be written to stand unfolded.
func unfoldedForm(t *testing.T, d doc, pieces []course.Piece) {
	written := map[string]bool{}
	all, open := 0, 0
	for _, p := range pieces {
		all += p.Code
		for _, line := range regionLines(t, d.step(), p.Name) {
			written[line] = true
		}
	}
	for _, b := range d.blocks {
		if b.lang != "go" || d.folded(b.line, "<details>") || !strings.HasPrefix(b.word("file"), course.Folders[d.step()]+"/") {
			continue
		}
		for _, line := range b.text {
			if line = strings.TrimSpace(line); len(line) > 1 && written[line] {
				open++
			}
		}
	}
	t.Logf("%s: %d pieces, %d lines to be written, %d of them unfolded", d.path, len(pieces), all, open)
	require.LessOrEqual(t, 3*open, all, "%d of the %d lines to be written stand unfolded", open, all)
}

// A line of prose can be read in a terminal: at most 100 characters, unless it is a table or holds a link.
func TestDocsLineLength(t *testing.T) {
	for _, d := range docs(t) {
		if d.step() == 0 {
			continue
		}
		for i, line := range d.prose {
			if len([]rune(line)) > 100 && !strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "<details>") && !strings.Contains(line, "](") {
				t.Errorf("%s:%d: %d characters", d.path, i+1, len([]rune(line)))
			}
			if strings.Contains(line, "DIR=work") && d.step() > 0 {
				t.Errorf("%s:%d: make check-NN takes work/NN by itself", d.path, i+1)
			}
		}
		for _, b := range d.blocks {
			for i, line := range b.text {
				if b.lang == "text" && len([]rune(line)) > 100 {
					t.Errorf("%s:%d: a picture of %d columns", d.path, b.line+i, len([]rune(line)))
				}
			}
		}
	}
}
