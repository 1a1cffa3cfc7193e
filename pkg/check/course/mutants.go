package course

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A Mutant is a step's server with one mistake that people make. It is kept as a patch, NN-name.patch, below
// pkg/check/testdata/mutants. The lines before the patch tell about it:
//
//	# expect: check; hint: words      the first check that fails, and words of the hint it then gives
//	# mistake: a sentence             what this server does wrong, for a learner whose own test caught it
//	# test: no, a reason              only where a learner's test cannot see it from outside
type Mutant struct {
	Step        int
	Name, Patch string // its file, without .patch and with all of its path
	Check, Hint string
	Mistake     string
	NoTest      string // the reason
}

// mutantDir is where the mutants are, below the course's top directory.
const mutantDir = "pkg/check/testdata/mutants"

// Mutants returns the mutants of all steps, by name.
func Mutants(root string) ([]Mutant, error) {
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(mutantDir), "*.patch"))
	if err != nil {
		return nil, err
	}
	var out []Mutant
	for _, f := range files {
		m := Mutant{Name: strings.TrimSuffix(filepath.Base(f), ".patch"), Patch: f}
		num, _, _ := strings.Cut(m.Name, "-")
		m.Step, err = strconv.Atoi(num)
		if err != nil {
			return nil, fmt.Errorf("%s: the name must begin with the number of the step", f)
		}
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		if err := m.head(string(b)); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		out = append(out, m)
	}
	return out, nil
}

// head reads the lines before the patch.
func (m *Mutant) head(text string) error {
	for _, line := range strings.Split(text, "\n") {
		what, ok := strings.CutPrefix(line, "# ")
		if !ok {
			break
		}
		key, value, _ := strings.Cut(what, ": ")
		value = strings.TrimSpace(value)
		switch key {
		case "expect":
			m.Check, m.Hint, _ = strings.Cut(value, "; hint: ")
		case "mistake":
			m.Mistake = value
		case "test":
			m.NoTest = strings.TrimPrefix(value, "no, ")
			ok = m.NoTest != value && m.NoTest != ""
		default:
			ok = false
		}
		if !ok {
			return fmt.Errorf("this line is none of those that a mutant opens with: %s", line)
		}
	}
	if m.Check == "" || m.Hint == "" {
		return fmt.Errorf("it must open with: # expect: <check>; hint: <words>")
	}
	return nil
}

// Piece returns the piece of the step's guide in which the mistake is made; ok is false if it is in none.
func (m Mutant) Piece(root string) (p Piece, ok bool, err error) {
	b, err := os.ReadFile(m.Patch)
	if err != nil {
		return p, false, err
	}
	pieces, err := Pieces(root, m.Step)
	if err != nil {
		return p, false, err
	}
	for _, c := range changes(string(b)) {
		src, err := os.ReadFile(filepath.Join(root, c.file))
		if err != nil {
			return p, false, err
		}
		found, err := regions(strings.Split(string(src), "\n"))
		if err != nil {
			return p, false, fmt.Errorf("%s: %w", c.file, err)
		}
		for _, r := range found {
			if k := find(pieces, r.name); k >= 0 && r.from <= c.line && c.line <= r.to {
				return pieces[k], true, nil
			}
		}
	}
	return p, false, nil
}

// A change is a line (counted from 0) that a patch takes out of a file, or before which it adds one.
type change struct {
	file string
	line int
}

var hunk = regexp.MustCompile(`^@@ -(\d+)`)

// changes returns what patch does to files that are there.
func changes(patch string) []change {
	var out []change
	file, at := "", 0
	for _, line := range strings.Split(patch, "\n") {
		head := hunk.FindStringSubmatch(line)
		switch name, begins := strings.CutPrefix(line, "--- "); {
		case begins:
			file, _ = strings.CutPrefix(strings.TrimSpace(name), "a/")
			if name == "/dev/null" {
				file = ""
			}
		case strings.HasPrefix(line, "+++ "):
		case head != nil:
			at, _ = strconv.Atoi(head[1])
			at--
		case strings.HasPrefix(line, "-"), strings.HasPrefix(line, "+"):
			if file != "" {
				out = append(out, change{file, at})
			}
			if line[0] == '-' {
				at++
			}
		default:
			at++
		}
	}
	return out
}

// Overlay applies patch to copies of the files that it names, below work, and returns an overlay file for Build.
// The tree itself is never touched.
func Overlay(root, work, patch string) (string, error) {
	text, err := os.ReadFile(patch)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		name, ok := strings.CutPrefix(line, "+++ b/")
		if !ok {
			continue
		}
		name = strings.TrimSpace(name)
		from, to := filepath.Join(root, name), filepath.Join(work, name)
		replace[from] = to
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return "", err
		}
		src, err := os.ReadFile(from)
		if os.IsNotExist(err) {
			continue // the patch creates it
		}
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(to, src, 0o644); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("git", "apply", "-p1", patch)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(work)) // work is no repository
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("git apply %s: %w\n%s", patch, err, out)
	}
	b, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(work, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o644)
}
