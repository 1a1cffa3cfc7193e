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
	"byor/pkg/check/mytest"

	"github.com/stretchr/testify/require"
)

// The texts of all steps have the same parts: what a learner found in one is found in the others.

// section returns the prose and the code blocks under the heading "## title", up to the next.
func (d doc) section(title string) (prose string, blocks []block) {
	from, to := -1, len(d.prose)+1<<20
	for i, line := range d.prose {
		h, ok := strings.CutPrefix(line, "## ")
		switch {
		case ok && from >= 0 && to > len(d.prose):
			to = i
		case ok && strings.ReplaceAll(h, "`", "") == title:
			from = i
		}
	}
	for i := max(from, 0); i < min(to, len(d.prose)); i++ {
		prose += d.prose[i] + "\n"
	}
	for _, b := range d.blocks {
		if from >= 0 && b.line > from && b.line <= to {
			blocks = append(blocks, b)
		}
	}
	return prose, blocks
}

// headings returns what stands behind "## ".
func (d doc) headings() []string {
	var out []string
	for _, line := range d.prose {
		if h, ok := strings.CutPrefix(line, "## "); ok {
			out = append(out, strings.ReplaceAll(strings.TrimSpace(h), "`", ""))
		}
	}
	return out
}

func countLang(blocks []block, lang string) (n int) {
	for _, b := range blocks {
		if b.lang == lang {
			n++
		}
	}
	return n
}

func TestDocsForm(t *testing.T) {
	forms := map[string]func(*testing.T, doc){"README.md": readmeForm, "GUIDE.md": guideForm, "EXERCISES.md": exercisesForm}
	seen := 0
	for _, d := range docs(t) {
		if form := forms[filepath.Base(d.path)]; form != nil && d.step() > 0 {
			seen++
			t.Run(d.path, func(t *testing.T) { form(t, d) })
		}
	}
	require.Equal(t, len(forms)*course.Last, seen)
}

// A README fits on a screen: what is new, run it, poke it, check it, time, what to know before.
func readmeForm(t *testing.T, d doc) {
	text := strings.Join(d.prose, "\n")
	require.LessOrEqual(t, len(d.prose), 65, "lines; one screen")
	require.Positive(t, countLang(d.blocks, "text")+countLang(d.blocks, "mermaid"), "a picture")
	require.Positive(t, countLang(d.blocks, "console"), "a transcript")
	for _, part := range []string{"**Run it**", "**Poke it**", "**Build it yourself:**", "**Time:**", "**Before:**", "**After:**",
		fmt.Sprintf("make check-%02d", d.step()), fmt.Sprintf("make start-%02d", d.step()), "(GUIDE.md)", "(EXERCISES.md)", "-trace"} {
		if part == "-trace" && d.step() > 2 && d.step() < course.Last {
			continue // has been shown; the guides use it
		}
		require.True(t, strings.Contains(text, part), part)
	}
}

var (
	whyBox    = regexp.MustCompile(`(?m)^> \*\*[^*]*\?\*\*`)
	redisFile = regexp.MustCompile(`[a-z_]+\.c\b`)
	questions = regexp.MustCompile(`(?m)^<details><summary>\d+\. `)
	named     = regexp.MustCompile(`\(\*[^()]*\*\)`)
	asterisks = regexp.MustCompile(`\*([a-z0-9-]+)\*`)
	term      = regexp.MustCompile(`\[\*[^*]+\*\]\(\.\./pkg/GLOSSARY\.md#[^)]+\)`)
)

func guideForm(t *testing.T, d doc) {
	text := strings.Join(d.prose, "\n")
	require.Equal(t, []string{"The problem", "The idea", "On the wire", "Build it", "Mistakes people make",
		"How real Redis does it", "What pkg adds", "Questions", "Further reading"}, d.headings())
	require.True(t, whyBox.MatchString(text), "a box with a why")
	require.True(t, strings.Contains(text, "> **You'll be tempted to think**"), "a box with a tempting thought")
	for _, title := range []string{"The problem", "On the wire", "How real Redis does it"} {
		_, blocks := d.section(title)
		require.Positive(t, countLang(blocks, "console"), "a transcript in %q", title)
	}
	_, blocks := d.section("Build it")
	require.GreaterOrEqual(t, countLang(blocks, "go"), 3, "code that is quoted")
	prose, _ := d.section("How real Redis does it")
	require.True(t, redisFile.MatchString(prose), "names of Redis's source files")
	prose, _ = d.section("Questions")
	require.GreaterOrEqual(t, len(questions.FindAllString(prose, -1)), 4)
	prose, _ = d.section("Further reading")
	require.True(t, strings.Contains(prose, "../pkg/REDIS-SOURCE.md"), "the map of source files")
	_, words, _ := strings.Cut(prose, "Words of this step:")
	words, _, _ = strings.Cut(words, "\n\n")
	require.GreaterOrEqual(t, len(term.FindAllString(words, -1)), 5, "words")
	require.Empty(t, strings.Trim(term.ReplaceAllString(words, ""), " ,.and\n"), "words that do not lead to the glossary")
	mistakesForm(t, d)
}

// mistakesForm wants the checks that a guide's mistakes name to be there, and a mutant that each of
// them has caught.
func mistakesForm(t *testing.T, d doc) {
	caught := map[string]bool{}
	for _, m := range mutants(t) {
		if m.Step == d.step() {
			caught[m.Check] = true
		}
	}
	prose, _ := d.section("Mistakes people make")
	rows := 0
	for _, line := range strings.Split(prose, "\n") {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, names := range named.FindAllString(cell, -1) {
			rows++
			for _, name := range asterisks.FindAllStringSubmatch(names, -1) {
				require.True(t, caught[name[1]], "no mutant makes %s fail, in: %s", name[1], line)
			}
		}
	}
	require.GreaterOrEqual(t, rows, 4, "mistakes that name their checks")
}

func exercisesForm(t *testing.T, d doc) {
	got := d.headings()
	if mytest.At(d.step()) {
		const title = "Write the test (an evening)"
		require.Contains(t, got, title)
		testForm(t, d, title)
		got = slices.DeleteFunc(got, func(h string) bool { return h == title })
	}
	require.True(t, 4 <= len(got) && len(got) <= 6, "%d exercises", len(got))
	require.Equal(t, len(got), len(check.Exercises(d.step())), "exercises with checks")
	for i, h := range got {
		k := i + 1
		require.Regexp(t, fmt.Sprintf(`^%d\. .*\(.*(minutes|evening|hour).*\)$`, k), h)
		prose, _ := d.section(h)
		require.True(t, strings.Contains(prose, "<details><summary>Hint 1</summary>"), h)
		require.True(t, strings.Contains(prose, fmt.Sprintf("Check: `make check-%02d EX=%d", d.step(), k)), h)
		require.True(t, strings.Contains(prose, fmt.Sprintf("(solutions/%d.patch)", k)), h)
		_, err := os.Stat(filepath.Join(built.root, course.Folders[d.step()], "solutions", fmt.Sprintf("%d.patch", k)))
		require.NoError(t, err)
	}
	require.Contains(t, got[len(got)-1], "against real Redis", "the last exercise is a measurement")
}

// testForm is about the exercise whose solution is a test: what the test finds in its environment, and how to begin.
func testForm(t *testing.T, d doc, title string) {
	prose, blocks := d.section(title)
	for _, want := range []string{"| `ADDR` |", "| `SERVER` |", "<details><summary>Hint 1</summary>", "(solutions/test.patch)",
		fmt.Sprintf("work/%02d/%s", d.step(), mytest.File), fmt.Sprintf("Check: `make check-%02d EX=test`", d.step())} {
		require.True(t, strings.Contains(prose, want), want)
	}
	require.Equal(t, course.Folders[d.step()]+"/solutions/test.patch", blocks[0].word("file"), "a test to begin with")
}
