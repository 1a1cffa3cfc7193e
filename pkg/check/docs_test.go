package check_test

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"byor/pkg/check/course"

	"github.com/stretchr/testify/require"
)

// The texts are checked, too: `make docs-check`. This file reads them and looks after links, make
// targets, quoted code and unfinished words; transcripts_test.go executes what they show.
//
// Code blocks by their first word:
//
//	console  a transcript, executed; words behind it: see transcripts_test.go
//	go       needs file=path: the lines stand in that file in this order; a line … or // … leaves some out. Of a
//	         patch, only what it adds
//	sh       for the reader to type; each `make target` in it must exist
//	text, mermaid, diff, json, python: shown, not executed

// A block is a fenced block of a Markdown file.
type block struct {
	line  int      // of its first line of content, counted from 1
	lang  string   // first word of the info string
	words []string // the others
	text  []string
}

// word returns the value of key=value in the info string, or "".
func (b block) word(key string) string {
	for _, w := range b.words {
		if v, ok := strings.CutPrefix(w, key+"="); ok {
			return v
		}
	}
	return ""
}

func (b block) has(word string) bool {
	for _, w := range b.words {
		if w == word {
			return true
		}
	}
	return false
}

// A doc is a Markdown file, taken apart.
type doc struct {
	path   string // below the root, with slashes
	blocks []block
	prose  []string // the lines outside of blocks; those within are empty
}

// step returns the number of the step whose folder the file stands in, or 0.
func (d doc) step() int {
	for n := 1; n <= course.Last; n++ {
		if strings.HasPrefix(d.path, course.Folders[n]+"/") {
			return n
		}
	}
	return 0
}

func parseDoc(path, text string) (doc, error) {
	d := doc{path: path}
	var open *block
	indent := ""
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		fence := strings.HasPrefix(trimmed, "```")
		switch {
		case fence && open == nil:
			indent = line[:len(line)-len(trimmed)]
			f := strings.Fields(strings.TrimPrefix(trimmed, "```"))
			open = &block{line: i + 2}
			if len(f) > 0 {
				open.lang, open.words = f[0], f[1:]
			}
		case fence && strings.TrimSpace(trimmed) == "```":
			d.blocks = append(d.blocks, *open)
			open = nil
		case open != nil:
			open.text = append(open.text, strings.TrimPrefix(line, indent))
		default:
			for len(d.prose) < i {
				d.prose = append(d.prose, "")
			}
			d.prose = append(d.prose, line)
		}
	}
	if open != nil {
		return d, fmt.Errorf("%s:%d: the block is not closed", path, open.line-1)
	}
	return d, nil
}

// walkTree calls f for each file of the course: not git's, not what is built or being worked on.
func walkTree(root string, f func(path string, d fs.DirEntry) error) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if rel == ".git" || rel == "bin" || rel == "work" || rel == "appendonlydir" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.Contains(rel, string(filepath.Separator)) && strings.HasSuffix(rel, ".rdb") {
			return nil // what a server that somebody ran here has saved
		}
		return f(filepath.ToSlash(rel), d)
	})
}

func docs(t *testing.T) []doc {
	t.Helper()
	var out []doc
	require.NoError(t, walkTree(built.root, func(path string, _ fs.DirEntry) error {
		if !strings.HasSuffix(path, ".md") {
			return nil
		}
		b, err := os.ReadFile(filepath.Join(built.root, path))
		require.NoError(t, err)
		d, err := parseDoc(path, string(b))
		require.NoError(t, err)
		out = append(out, d)
		return nil
	}))
	require.NotEmpty(t, out)
	return out
}

var (
	mdLink  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`^#+ +(.*?) *$`)
	code    = regexp.MustCompile("`[^`]*`")
	anchor  = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
)

// Every link to a file or a heading leads to one.
func TestDocsLinks(t *testing.T) {
	all := map[string]doc{}
	for _, d := range docs(t) {
		all[d.path] = d
	}
	for _, d := range all {
		for i, line := range d.prose {
			for _, m := range mdLink.FindAllStringSubmatch(code.ReplaceAllString(line, ""), -1) {
				if err := checkLink(all, d, m[1]); err != nil {
					t.Errorf("%s:%d: link %s: %v", d.path, i+1, m[1], err)
				}
			}
		}
	}
}

func checkLink(all map[string]doc, from doc, target string) error {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" {
		return err
	}
	path := from.path
	if u.Path != "" {
		path = filepath.ToSlash(filepath.Join(filepath.Dir(from.path), u.Path))
		if _, err := os.Stat(filepath.Join(built.root, path)); err != nil {
			return fmt.Errorf("there is no %s", path)
		}
	}
	to, isDoc := all[path]
	if u.Fragment == "" || !isDoc {
		return nil
	}
	for _, line := range to.prose {
		if m := heading.FindStringSubmatch(line); m != nil && slug(m[1]) == u.Fragment {
			return nil
		}
		for _, m := range anchor.FindAllStringSubmatch(line, -1) {
			if m[1] == u.Fragment {
				return nil
			}
		}
	}
	return fmt.Errorf("%s has no heading for #%s", path, u.Fragment)
}

// slug is the anchor that GitHub makes of a heading.
func slug(heading string) string {
	var sb strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r == ' ':
			sb.WriteByte('-')
		case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 0x7f && r != '…' && r != '→':
			sb.WriteRune(r)
		}
	}
	return sb.String()
}

var makeCall = regexp.MustCompile("(?:^|[`$;&|(] *)make ([a-zA-Z0-9][a-zA-Z0-9_-]*)")

// Every make target that a text names exists. NN and k stand for numbers.
func TestDocsMakeTargets(t *testing.T) {
	named := map[string]string{}
	for _, d := range docs(t) {
		see := func(line string, n int) {
			for _, m := range makeCall.FindAllStringSubmatch(line, -1) {
				target := strings.ReplaceAll(m[1], "NN", "03")
				if named[target] == "" {
					named[target] = fmt.Sprintf("%s:%d", d.path, n)
				}
			}
		}
		for i, line := range d.prose {
			see(strings.Join(code.FindAllString(line, -1), " "), i+1)
		}
		for _, b := range d.blocks {
			for i, line := range b.text {
				if b.lang == "sh" || b.lang == "console" {
					see(line, b.line+i)
				}
			}
		}
	}
	require.NotEmpty(t, named)
	for target, where := range named {
		cmd := exec.Command("make", "-n", target)
		cmd.Dir = built.root
		if out, err := cmd.CombinedOutput(); strings.Contains(string(out), "No rule to make target") {
			t.Errorf("%s: make %s: %v: %s", where, target, err, out)
		}
	}
}

// Every quoted piece of code stands in the file that it names.
func TestDocsQuotes(t *testing.T) {
	for _, d := range docs(t) {
		for _, b := range d.blocks {
			switch b.lang {
			case "console", "sh", "text", "mermaid", "diff", "json", "python":
				continue
			case "go":
			default:
				t.Errorf("%s:%d: a block of %q is none of those that docs-check knows (see docs_test.go)", d.path, b.line, b.lang)
				continue
			}
			file := b.word("file")
			if file == "" {
				t.Errorf("%s:%d: name the file that is quoted, ```go file=…, or use ```text for what stands in none", d.path, b.line)
				continue
			}
			if err := quoted(file, b.text); err != nil {
				t.Errorf("%s:%d: %v", d.path, b.line, err)
			}
		}
	}
}

// isGap says whether a quoted line stands for lines left out.
func isGap(line string) bool {
	s := strings.TrimSpace(line)
	return s == "…" || s == "// …"
}

// quoted looks for the lines in file. Each run of lines between two gaps stands there without
// interruption, behind the run before. The indentation of a whole quotation may differ.
func quoted(file string, lines []string) error {
	raw, err := os.ReadFile(filepath.Join(built.root, file))
	if err != nil {
		return err
	}
	src := strings.Split(string(raw), "\n")
	for i := range src {
		if added, ok := strings.CutPrefix(src[i], "+"); ok && filepath.Ext(file) == ".patch" {
			src[i] = added
		}
		src[i] = strings.TrimSpace(src[i])
	}
	from := 0
	for i := 0; i < len(lines); {
		if isGap(lines[i]) {
			i++
			continue
		}
		var run []string
		for ; i < len(lines) && !isGap(lines[i]); i++ {
			run = append(run, strings.TrimSpace(lines[i]))
		}
		at := indexRun(src[from:], run)
		if at < 0 {
			return fmt.Errorf("these lines do not stand in %s (in this order):\n%s", file, strings.Join(run, "\n"))
		}
		from += at + len(run)
	}
	return nil
}

func indexRun(src, run []string) int {
	for i := 0; i+len(run) <= len(src); i++ {
		same := true
		for j := range run {
			if src[i+j] != run[j] {
				same = false
				break
			}
		}
		if same {
			return i
		}
	}
	return -1
}

// unfinished are the words of work that is not done. They are put together here, so that this file
// does not contain them.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|TB` + `D|HA` + `CK|WI` + `P)\b|(?i:coming s` + `oon|lorem ips` + `um)`)

// Nothing in the tree says that it is not finished.
func TestDocsFinished(t *testing.T) {
	require.NoError(t, walkTree(built.root, func(path string, _ fs.DirEntry) error {
		switch filepath.Ext(path) {
		case ".md", ".go", ".html", ".js", ".css", ".patch", ".py", ".sh", ".txt", "":
		default:
			return nil
		}
		b, err := os.ReadFile(filepath.Join(built.root, path))
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(b), "\n") {
			if m := unfinished.FindString(line); m != "" {
				t.Errorf("%s:%d: %q", path, i+1, m)
			}
		}
		return nil
	}))
}
