package check

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"byor/pkg/check/course"
	"byor/pkg/check/mytest"
)

// ProgressFile is where a learner's progress is kept, in the repository's top directory.
const ProgressFile = ".progress.json"

// Progress is what a learner has done so far.
type Progress struct {
	Steps     map[string]time.Time            `json:"steps"`     // by number: when all checks passed first
	Exercises map[string]map[string]time.Time `json:"exercises"` // by step and exercise

	root string // where work/ is
}

// LoadProgress reads the progress of the course at root; without a file it is empty.
func LoadProgress(root string) (*Progress, error) {
	p := &Progress{root: root}
	b, err := os.ReadFile(filepath.Join(root, ProgressFile))
	if err == nil {
		err = json.Unmarshal(b, p)
	}
	if os.IsNotExist(err) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w (delete it to begin anew)", ProgressFile, err)
	}
	if p.Steps == nil {
		p.Steps = map[string]time.Time{}
	}
	if p.Exercises == nil {
		p.Exercises = map[string]map[string]time.Time{}
	}
	return p, nil
}

// Save writes the progress of the course at root; a crash leaves the old file or the new one.
func (p *Progress) Save(root string) error {
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(root, ProgressFile+".tmp")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(root, ProgressFile))
}

// Done notes that all checks of step, or of its exercise ex ("2", or "test"), passed. It says whether that is new.
func (p *Progress) Done(step int, ex string, now time.Time) bool {
	m, key := p.Steps, fmt.Sprintf("%02d", step)
	if ex != "" {
		if p.Exercises[key] == nil {
			p.Exercises[key] = map[string]time.Time{}
		}
		m, key = p.Exercises[key], ex
	}
	if _, had := m[key]; had {
		return false
	}
	m[key] = now.UTC().Truncate(time.Second)
	return true
}

// Next returns the first step that is not done, or 0 when all are.
func (p *Progress) Next() int {
	for step := 1; step <= course.Last; step++ {
		if _, ok := p.Steps[fmt.Sprintf("%02d", step)]; !ok {
			return step
		}
	}
	return 0
}

// Show prints the progress and what comes next.
func (p *Progress) Show(w io.Writer) {
	next := p.Next()
	for step := 1; step <= course.Last; step++ {
		key := fmt.Sprintf("%02d", step)
		mark, when := "[ ]", ""
		if at, ok := p.Steps[key]; ok {
			mark, when = "[x]", at.Local().Format("2006-01-02")
		} else if step == next {
			mark = "[>]"
		}
		exercises := len(Exercises(step))
		if mytest.At(step) {
			exercises++
		}
		fmt.Fprintf(w, "%s %-22s exercises %d/%d  %s\n", mark, course.Folders[step], len(p.Exercises[key]), exercises, when)
	}
	fmt.Fprintln(w)
	if next == 0 {
		fmt.Fprintln(w, "All ten steps are done: you have built Redis. Where to go after: README.md, at the end.")
		return
	}
	own := fmt.Sprintf("work/%02d", next)
	if _, err := os.Stat(filepath.Join(p.root, own, "main.go")); err == nil {
		fmt.Fprintf(w, "Next: go on in %s: %s/GUIDE.md leads through it, `make check-%02d` judges it.\n", own, course.Folders[next], next)
		return
	}
	fmt.Fprintf(w, "Next: read %s/README.md, then `make start-%02d`, and `make check-%02d` as often as you like.\n",
		course.Folders[next], next, next)
}
