package course

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Piece is what a learner writes in one go. In the step's source it stands between
//
//	// region: name
//	…
//	// endregion
//
// perhaps in several places, and in the guide's "Build it" it is the section "### K. name".
type Piece struct {
	N    int // K, from 1 on
	Name string
	Code int // lines of code: neither empty nor only a comment
}

var (
	regionBegin = regexp.MustCompile(`^(\s*)// region: (.+)$`)
	regionEnd   = regexp.MustCompile(`^\s*// endregion\s*$`)
	heading     = regexp.MustCompile(`(?m)^### (\d+)\. (.+?)\s*$`)
	mark        = regexp.MustCompile(`^\s*// piece (\d+): `)
)

// region is one place of a piece in a file's lines.
type region struct {
	name     string
	from, to int // its first line, and the line of its end mark
	indent   string
}

// regions finds those of a file. They do not overlap.
func regions(lines []string) ([]region, error) {
	var out []region
	open := false
	for i, line := range lines {
		if m := regionBegin.FindStringSubmatch(line); m != nil {
			if open {
				return nil, fmt.Errorf("line %d: region %q opens within region %q", i+1, m[2], out[len(out)-1].name)
			}
			open = true
			out = append(out, region{name: strings.TrimSpace(m[2]), from: i + 1, indent: m[1]})
		}
		if regionEnd.MatchString(line) {
			if !open {
				return nil, fmt.Errorf("line %d: endregion without a region", i+1)
			}
			open = false
			out[len(out)-1].to = i
		}
	}
	if open {
		return nil, fmt.Errorf("region %q is not closed", out[len(out)-1].name)
	}
	return out, nil
}

// Pieces returns the pieces of step in the order of its guide, which numbers them.
func Pieces(root string, step int) ([]Piece, error) {
	from := filepath.Join(root, Folders[step])
	guide, err := os.ReadFile(filepath.Join(from, "GUIDE.md"))
	if err != nil {
		return nil, err
	}
	var out []Piece
	_, text, _ := strings.Cut(string(guide), "\n## Build it")
	text, _, _ = strings.Cut(text, "\n## ")
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		if n != len(out)+1 {
			return nil, fmt.Errorf("%s: section %q has the number %d, not %d", Folders[step], m[2], n, len(out)+1)
		}
		out = append(out, Piece{N: n, Name: strings.ReplaceAll(m[2], "`", "")})
	}
	return out, count(out, from)
}

// count counts the lines of each piece in the Go files of a step's folder.
func count(pieces []Piece, folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		lines := strings.Split(string(b), "\n")
		found, err := regions(lines)
		if err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		for _, r := range found {
			k := find(pieces, r.name)
			if k < 0 {
				return fmt.Errorf("%s: the guide's \"Build it\" has no section \"### K. %s\"", f, r.name)
			}
			for _, l := range lines[r.from:r.to] {
				if l = strings.TrimSpace(l); l != "" && !strings.HasPrefix(l, "//") {
					pieces[k].Code++
				}
			}
		}
	}
	for _, p := range pieces {
		if p.Code == 0 {
			return fmt.Errorf("%s: there is no region for piece %d, %s", folder, p.N, p.Name)
		}
	}
	return nil
}

// find returns the index of the piece with that name, or -1. Case does not matter.
func find(pieces []Piece, name string) int {
	return slices.IndexFunc(pieces, func(p Piece) bool { return strings.EqualFold(p.Name, name) })
}

// Holes returns src without the pieces behind the upto-th: each leaves a mark that says what to write.
func Holes(src string, pieces []Piece, upto int) (string, error) {
	lines := strings.Split(src, "\n")
	found, err := regions(lines)
	if err != nil {
		return "", err
	}
	var out []string
	at := 0
	for _, r := range found {
		out = append(out, lines[at:r.from-1]...)
		k := find(pieces, r.name)
		switch {
		case k < 0:
			return "", fmt.Errorf("region %q is none of the guide's pieces", r.name)
		case k < upto:
			out = append(out, lines[r.from:r.to]...)
		default:
			out = append(out, fmt.Sprintf("%s// piece %d: %s (GUIDE.md, Build it)", r.indent, pieces[k].N, pieces[k].Name))
		}
		at = r.to + 1
	}
	return strings.Join(append(out, lines[at:]...), "\n"), nil
}

// Unwritten returns the numbers of the pieces of step that nobody has begun to write in dir, ascending: a
// mark still stands there, and behind it comes what comes behind the piece in the finished step.
func Unwritten(root string, step int, dir string) []int {
	pieces, err := Pieces(root, step)
	if err != nil {
		return nil
	}
	seen := map[int]bool{}
	files, _ := filepath.Glob(filepath.Join(root, dir, "*.go"))
	for _, f := range files {
		mine, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		finished, err := os.ReadFile(filepath.Join(root, Folders[step], filepath.Base(f)))
		if err != nil {
			continue
		}
		unwrittenIn(strings.Split(string(mine), "\n"), behind(strings.Split(string(finished), "\n"), pieces), seen)
	}
	var out []int
	for n := range seen {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// behind returns what line follows each place of each piece.
func behind(finished []string, pieces []Piece) map[int][]string {
	out := map[int][]string{}
	found, _ := regions(finished)
	for i, r := range found {
		k := find(pieces, r.name)
		if k < 0 {
			continue
		}
		out[pieces[k].N] = append(out[pieces[k].N], next(finished, r.to+1))
		for j := i + 1; j < len(found) && found[j].from == found[j-1].to+2; j++ { // neither of the two may be written
			out[pieces[k].N] = append(out[pieces[k].N], next(finished, found[j].to+1))
		}
	}
	return out
}

func unwrittenIn(mine []string, behind map[int][]string, seen map[int]bool) {
	for i, line := range mine {
		m := mark.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		n, _ := strconv.Atoi(m[1])
		follows := next(mine, i+1)
		if mark.MatchString("// "+follows) || slices.Contains(behind[n], follows) {
			seen[n] = true
		}
	}
}

// next returns the first line from at on that somebody has written, without what makeCompile does to it.
func next(lines []string, at int) string {
	for _, l := range lines[min(at, len(lines)):] {
		l = strings.TrimSpace(l)
		if l == "" || strings.HasSuffix(l, untilUsed) || strings.HasSuffix(l, untilWritten) || regionBegin.MatchString(l) {
			continue
		}
		return strings.TrimPrefix(l, "// ")
	}
	return ""
}

// What the lines end with that only make a skeleton compile.
const (
	untilUsed    = "// until the piece above uses it"
	untilWritten = "// until it is written"
)
