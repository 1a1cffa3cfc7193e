package course

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	guide = "# Guide\n\n## Build it\n\n### Before\n\n### 1. The first\n\n### 2. `The second`\n\n## Mistakes\n\n### 1. not a piece\n"
	main  = "package main\n\nfunc f() int {\n\t// region: the second\n\tn := 1\n\n\t// a comment\n\treturn n\n\t// endregion\n}\n" +
		"func g() {\n\t// region: the first\n\tprintln(1)\n\t// endregion\n\t// region: the second\n\tprintln(2)\n\t// endregion\n}\n"
)

// tree makes a course of one step.
func tree(t *testing.T, guide, main string) string {
	root := t.TempDir()
	dir := filepath.Join(root, Folders[1])
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte("module byor\n\ngo 1.24\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "GUIDE.md"), []byte(guide), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte(main), 0o644))
	return root
}

func TestPieces(t *testing.T) {
	pieces, err := Pieces(tree(t, guide, main), 1)
	require.NoError(t, err)
	require.Equal(t, []Piece{{N: 1, Name: "The first", Code: 1}, {N: 2, Name: "The second", Code: 3}}, pieces)
	for bad, want := range map[string]string{
		"// region: the first\n":                           "not closed",
		"// endregion\n":                                   "without a region",
		"// region: a\n// region: b\n// endregion\n":       "opens within",
		"// region: nowhere\nx\n// endregion\n":            "has no section",
		"// region: the first\nprintln(1)\n// endregion\n": "no region for piece 2",
	} {
		_, err := Pieces(tree(t, guide, bad), 1)
		require.ErrorContains(t, err, want, "%q", bad)
	}
	_, err = Pieces(tree(t, "\n## Build it\n### 1. the first\n### 3. the second\n", main), 1)
	require.ErrorContains(t, err, "has the number 3, not 2")
}

// What is written counts as written, whether its mark was taken away or not.
func TestUnwritten(t *testing.T) {
	root := tree(t, guide, main+"func main() { f(); g() }\n")
	for upto, want := range [][]int{{1, 2}, {2}, nil} {
		dir := fmt.Sprint("work/0", upto)
		_, err := Fill(root, 1, dir, upto)
		require.NoError(t, err)
		require.Equal(t, want, Unwritten(root, 1, dir), "upto %d", upto)
	}
	_, err := Start(root, 1, "work/00")
	require.ErrorContains(t, err, "is there already")
	path := filepath.Join(root, "work/00/main.go")
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(b), "// piece 2: The second (GUIDE.md, Build it)\n\treturn 0 // until it is written\n}")
	require.Contains(t, string(b), "// piece 1: The first (GUIDE.md, Build it)\n\t// piece 2: The second")
	mine := "package main\n\nfunc f() int {\n\t// piece 2: The second\n\treturn 5\n}\nfunc g() {\n\t// piece 1: The first\n\n}\nfunc main() { f(); g() }\n"
	require.NoError(t, os.WriteFile(path, []byte(mine), 0o644))
	require.Equal(t, []int{1}, Unwritten(root, 1, "work/00"))
}

// The first lines of a mutant, and its patch.
const mutantHead = "# expect: closes; hint: a word; and more\n"

const mutantPatch = `--- a/01-tcp-echo/main.go
+++ b/01-tcp-echo/main.go
@@ -10,7 +10,7 @@
 }
 func g() {
 	// region: the first
-	println(1)
+	println(7)
 	// endregion
 	// region: the second
 	println(2)
`

// mutantTree returns a tree of one step, and a function that writes a mutant into it and returns its path.
func mutantTree(t *testing.T) (root string, write func(name, text string) string) {
	root = tree(t, guide, main)
	dir := filepath.Join(root, filepath.FromSlash(mutantDir))
	require.NoError(t, os.MkdirAll(dir, 0o755))
	return root, func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
}

func TestMutants(t *testing.T) {
	root, write := mutantTree(t)
	path := write("01-seven.patch", mutantHead+"# mistake: It says 7.\n# test: no, nobody asks\n"+mutantPatch)
	all, err := Mutants(root)
	require.NoError(t, err)
	m := Mutant{Step: 1, Name: "01-seven", Patch: path, Check: "closes", Hint: "a word; and more", Mistake: "It says 7.", NoTest: "nobody asks"}
	require.Equal(t, []Mutant{m}, all)

	overlay, err := Overlay(root, t.TempDir(), path)
	require.NoError(t, err)
	changed, err := os.ReadFile(filepath.Join(filepath.Dir(overlay), Folders[1], "main.go"))
	require.NoError(t, err)
	require.Contains(t, string(changed), "println(7)")
	unchanged, err := os.ReadFile(filepath.Join(root, Folders[1], "main.go"))
	require.NoError(t, err)
	require.Equal(t, main, string(unchanged))
}

// A mutant belongs to the piece that its patch changes.
func TestMutantPiece(t *testing.T) {
	root, write := mutantTree(t)
	for patch, want := range map[string]string{
		mutantPatch: "The first",
		strings.NewReplacer("-10,7 +10,7", "-3,7 +3,8", " }\n func g() {\n", "+// new\n func f() int {\n", "the first", "the second",
			"-\tprintln(1)\n+\tprintln(7)\n", "-\tn := 1\n+\tn := 7\n").Replace(mutantPatch): "The second",
		strings.Replace(mutantPatch, "-\tprintln(1)\n+\tprintln(7)", "+// new", 1):                           "The first", // in front of its first line
		"--- a/01-tcp-echo/main.go\n+++ b/01-tcp-echo/main.go\n@@ -1 +1 @@\n-package main\n+package other\n": "",
		"--- /dev/null\n+++ b/01-tcp-echo/new.go\n@@ -0,0 +1 @@\n+package main\n":                            "",
	} {
		m := Mutant{Step: 1, Patch: write("other", patch)}
		piece, ok, err := m.Piece(root)
		require.NoError(t, err)
		require.Equal(t, want != "", ok, patch)
		require.Equal(t, want, piece.Name, patch)
	}
}

func TestMutantHeads(t *testing.T) {
	root, write := mutantTree(t)
	for bad, want := range map[string]string{
		"":                                      "must open with",
		"# expect: closes\n":                    "must open with",
		mutantHead + "# mistaken: It says 7.\n": "none of those",
		mutantHead + "# test: perhaps\n":        "none of those",
		mutantHead + "# test: no, \n":           "none of those",
		"# mistake: It says 7.\n# a note\n\n":   "none of those",
	} {
		write("01-bad.patch", bad+mutantPatch)
		_, err := Mutants(root)
		require.ErrorContains(t, err, want, "%q", bad)
	}
	require.NoError(t, os.Remove(write("01-bad.patch", "")))
	write("bad.patch", mutantHead+mutantPatch)
	_, err := Mutants(root)
	require.ErrorContains(t, err, "number of the step")
}
