package check_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"byor/pkg/check/course"
	"byor/pkg/check/process"
	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// Every transcript in the texts is executed and compared. In a block of ```console a line `$ cmd` is
// a command for bash in the course's top directory (`> ` continues it), the lines below are its
// output: … within a line stands for anything, a line … for any number of lines. A carriage return at
// the end of a line of output, which a page cannot show, is passed over.
//
// Further words: upto=K, the server has the pieces up to the K-th alone; tty, the block shows what a terminal does,
// and redis-cli prints as to one; terminal=NAME, the block is another window, see window_test.go.
// With noserver, upto=K puts what the reader has by then into work/NN, to be built or read there.
//
// It happens in a copy of the tree. The server of the file's step runs there, too, in the top
// directory as for a reader who typed `make NN-name`, on a free port that takes the place of 6380
// in all text; 6381 to 6389 and 8080 are replaced in the same way.

// A stage is where a file's transcripts run.
type stage struct {
	t       *testing.T
	doc     doc
	dir     string            // the copy of the tree
	ports   map[string]string // what stands in the text, what it is here
	servers map[string]*process.Server
	windows map[string]*window // terminal=NAME
	hosts   string             // the window whose server has the port of 6380, or ""
	pace    int                // what times are multiplied with
	wrong   []string
}

var docPorts = regexp.MustCompile(`\b(638[0-9]|8080)\b`)

func TestCourseTranscripts(t *testing.T) {
	t.Parallel()
	redistest.Need(t, "bash")
	for _, d := range docs(t) {
		var consoles []block
		for _, b := range d.blocks {
			if b.lang == "console" {
				consoles = append(consoles, b)
			}
		}
		if len(consoles) == 0 {
			continue
		}
		t.Run(d.path, func(t *testing.T) {
			t.Parallel()
			if len(playAll(t, d, consoles, 1)) == 0 {
				return
			}
			for _, p := range playAll(t, d, consoles, 10) {
				t.Error(p)
			}
		})
	}
}

// playAll executes a file's transcripts and returns what was wrong. They wait for servers with sleep,
// as a person would; on a machine that is too busy for that, pace 10 makes every wait ten times as long.
func playAll(t *testing.T, d doc, consoles []block, pace int) []string {
	s := &stage{t: t, doc: d, pace: pace, servers: map[string]*process.Server{}, windows: map[string]*window{}}
	s.reset()
	defer s.stop()
	for _, b := range consoles {
		s.play(b)
	}
	return s.wrong
}

// reset gives the stage a fresh copy of the tree, and no servers.
func (s *stage) reset() {
	s.stop()
	s.dir = s.t.TempDir()
	s.ports = map[string]string{}
	require.NoError(s.t, walkTree(built.root, func(path string, d fs.DirEntry) error {
		to := filepath.Join(s.dir, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(built.root, path))
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, info.Mode().Perm())
	}))
}

func (s *stage) stop() {
	for name, srv := range s.servers {
		srv.End()
		delete(s.servers, name)
	}
	for _, w := range s.windows {
		w.end()
	}
	clear(s.windows)
	s.hosts = ""
}

// port returns what takes the place of a port in the text. It has four digits like those, so that
// lengths and columns stay as they are.
func (s *stage) port(text string) string {
	if s.ports[text] == "" {
		s.ports[text] = fourDigitPort(s.t)
	}
	return s.ports[text]
}

var portsTaken = make(chan map[int]bool, 1)

func init() { portsTaken <- map[int]bool{} }

func fourDigitPort(t *testing.T) string {
	taken := <-portsTaken
	defer func() { portsTaken <- taken }()
	for p := 9000 + os.Getpid()%400; p > 1100; p-- {
		if taken[p] || p == 8080 || p/10 == 638 {
			continue
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if err != nil {
			continue
		}
		ln.Close()
		taken[p] = true
		return fmt.Sprint(p)
	}
	t.Fatal("no free port of four digits")
	return ""
}

// local puts this stage's ports in the place of the text's.
func (s *stage) local(text string) string { return docPorts.ReplaceAllStringFunc(text, s.port) }

// play executes one block.
func (s *stage) play(b block) {
	s.t.Helper()
	if missing := missingTool(b); missing != "" {
		if os.Getenv("CI") != "" {
			s.t.Fatalf("%s:%d: %s is not installed", s.doc.path, b.line, missing)
		}
		notExecuted.add(missing)
		return
	}
	if b.has("fresh") {
		s.reset()
	}
	if b.has("noserver") && b.word("upto") != "" {
		s.written(b)
	}
	if name := b.word("terminal"); name != "" {
		s.inWindow(b, name)
		return
	}
	main := s.ports["6380"]
	if !b.has("noserver") {
		s.ports["6380"] = s.serve(b)
	}
	s.compare(b)
	s.ports["6380"] = main
}

// written puts work/NN on the stage as it is when the reader has written the pieces up to the block's.
func (s *stage) written(b block) {
	upto, err := strconv.Atoi(b.word("upto"))
	require.NoError(s.t, err, s.doc.path)
	dir := fmt.Sprintf("work/%02d", s.doc.step())
	require.NoError(s.t, os.RemoveAll(filepath.Join(s.dir, dir)))
	built.slots <- true
	defer func() { <-built.slots }()
	_, err = course.Fill(s.dir, s.doc.step(), dir, upto)
	require.NoError(s.t, err, s.doc.path)
}

// notExecuted counts the transcripts that were not executed, by the tool that is missing.
var notExecuted = tally{n: map[string]int{}}

type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *tally) add(tool string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[tool]++
}

// print says what was not executed; `make docs-check` shows it.
func (c *tally) print() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tool := range slices.Sorted(maps.Keys(c.n)) {
		fmt.Printf("not executed: %d transcripts that need %s, which is not installed\n", c.n[tool], tool)
	}
}

var tools = regexp.MustCompile(`\b(redis-cli|redis-server|redis-benchmark|redis-check-rdb|redis-check-aof|nc|strace|python3|xxd|curl|jq)\b`)

func missingTool(b block) string {
	if b.word("server") == "redis" {
		b.text = append([]string{"$ redis-server"}, b.text...)
	}
	for _, line := range b.text {
		if !strings.HasPrefix(line, "$ ") && !strings.HasPrefix(line, "> ") {
			continue
		}
		for _, tool := range tools.FindAllString(line, -1) {
			if _, err := exec.LookPath(tool); err != nil {
				return tool
			}
		}
	}
	return ""
}

// serve returns the port of the server that b talks to; the server lives as long as the stage.
func (s *stage) serve(b block) string {
	step, name := s.doc.step(), "main"
	if v := b.word("step"); v != "" {
		fmt.Sscanf(v, "%d", &step)
		name = "step " + v
	}
	upto := b.word("upto")
	switch {
	case b.word("server") == "redis":
		step, name = 0, "redis"
	case s.hosts != "":
		return s.port("6380")
	case upto != "" || name == "main":
		if upto != "" {
			name = "upto " + upto
		}
		for other := range s.servers {
			if other != name && (other == "main" || strings.HasPrefix(other, "upto ")) {
				s.leave(other)
			}
		}
	}
	if step == 0 && name != "redis" {
		s.t.Fatalf("%s:%d: which server? Say step=NN, server=redis or noserver", s.doc.path, b.line)
	}
	if srv := s.servers[name]; srv != nil && srv.Alive() {
		return fmt.Sprint(srv.Port)
	}
	port := fourDigitPort(s.t)
	srv := s.start(step, name, port)
	s.servers[name] = srv
	return port
}

// leave ends one of the stage's servers, if it runs: it would be in the way of another in the same directory.
func (s *stage) leave(name string) {
	if srv := s.servers[name]; srv != nil {
		srv.End()
		delete(s.servers, name)
	}
}

func (s *stage) start(step int, name, port string) *process.Server {
	var target *process.Target
	var err error
	dir := s.dir
	upto, partial := strings.CutPrefix(name, "upto ")
	if name != "main" && !partial {
		dir = s.t.TempDir()
	}
	switch {
	case step == 0:
		target, err = process.RedisTarget()
		require.NoError(s.t, err)
	case partial:
		n, err := strconv.Atoi(upto)
		require.NoError(s.t, err, s.doc.path)
		target, _ = built.partial(s.t, step, n)
	default:
		target = built.target(s.t, step, "")
	}
	cmd := exec.Command(target.Path, "-addr", "127.0.0.1:"+port)
	switch {
	case step == course.Last:
		cmd = exec.Command(target.Path, "--port", port, "--http-port", s.port("8080"), "--dir", dir)
	case step == 0:
		cmd = exec.Command(target.Path, "--port", port, "--dir", dir, "--save", "")
	case target.Takes("dir"):
		cmd.Args = append(cmd.Args, "-dir", dir)
	}
	srv := &process.Server{Addr: "127.0.0.1:" + port, Target: target, Ctx: s.t.Context()}
	fmt.Sscanf(port, "%d", &srv.Port)
	cmd.Dir = dir
	require.NoError(s.t, srv.Launch(cmd), "starting %s for %s", name, s.doc.path)
	return srv
}

// overprinted is what a terminal shows no more, once a carriage return has begun the line anew: the progress that
// redis-benchmark prints.
var overprinted = regexp.MustCompile(`(?m)^.*\r`)

const mark = "\x01--- end of a command ---\x01"

// compare runs the commands of b in one bash, so that variables and jobs live through the block.
func (s *stage) compare(b block) {
	s.t.Helper()
	cmds, want := transcript(b)
	var script bytes.Buffer
	// bash's own printf writes a line at a time, /usr/bin/printf all at once: what a server reads in
	// one piece must not depend on how busy this machine is.
	script.WriteString("enable -n printf\n")
	if s.pace > 1 {
		fmt.Fprintf(&script, `sleep() { command sleep "$(awk "BEGIN { print $1 * %[1]d }")"; }
timeout() { local d=$1; shift; command timeout "$(awk "BEGIN { print $d * %[1]d }")" "$@"; }
nc() { case $1 in -q*) local d=$((${1#-q} * %[1]d)); shift; command nc "-q$d" "$@";; *) command nc "$@";; esac; }
`, s.pace)
	}
	for _, c := range cmds {
		fmt.Fprintf(&script, "%s\necho '%s'\n", s.local(c), mark)
	}
	out := s.bash(b, script.String())
	parts := strings.Split(out, mark+"\n")
	for i := range cmds {
		got := "(bash ended before this command)"
		if i < len(parts) {
			got = strings.ReplaceAll(parts[i], "\r\n", "\n")
			if b.has("tty") {
				got = overprinted.ReplaceAllString(got, "")
			}
			got = strings.TrimRight(got, "\n")
		}
		pattern := linesPattern(s.local(strings.Join(want[i], "\n")))
		if !pattern.MatchString(got) {
			s.wrong = append(s.wrong, fmt.Sprintf("%s:%d:\n$ %s\n--- expected\n%s\n--- got\n%s\n---", s.doc.path, b.line,
				s.local(cmds[i]), s.local(strings.Join(want[i], "\n")), got))
		}
	}
}

// transcript takes a block apart into commands and the lines that each is to print.
func transcript(b block) (cmds []string, want [][]string) {
	for _, line := range b.text {
		switch {
		case strings.HasPrefix(line, "$ "):
			cmds, want = append(cmds, line[2:]), append(want, nil)
		case len(cmds) == 0:
		case strings.HasPrefix(line, "> ") && strings.HasSuffix(cmds[len(cmds)-1], `\`) && len(want[len(cmds)-1]) == 0:
			cmds[len(cmds)-1] += "\n" + line[2:]
		default:
			want[len(cmds)-1] = append(want[len(cmds)-1], line)
		}
	}
	return cmds, want
}

// bash runs script and returns what it and its children printed. Output goes to a file and not to a
// pipe, which a job left in the background would hold open.
func (s *stage) bash(b block, script string) string {
	file, err := os.CreateTemp(s.t.TempDir(), "out")
	require.NoError(s.t, err)
	defer file.Close()
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = file, file
	cmd.Env = s.env(b)
	process.OwnGroup(cmd)
	require.NoError(s.t, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
	case <-time.After(2 * time.Minute):
		s.wrong = append(s.wrong, fmt.Sprintf("%s:%d: not over after two minutes", s.doc.path, b.line))
	}
	process.SignalGroup(cmd, syscall.SIGKILL)
	out, err := os.ReadFile(file.Name())
	require.NoError(s.t, err)
	return string(out)
}

// env is what commands find around them. With the word tty redis-cli prints as it does to a terminal. Each text has a
// tree of its own, and with -trimpath go build knows a package again that it has compiled in another.
func (s *stage) env(b block) []string {
	env := append(os.Environ(), "PWD="+s.dir, "MAKEFLAGS=", "MAKELEVEL=", "LC_ALL=C.UTF-8", "TERM=dumb", "GOFLAGS=-trimpath")
	if b.has("tty") || b.word("terminal") != "" {
		env = append(env, "FAKETTY=1")
	}
	return env
}

// linesPattern turns expected lines with … into a pattern for all of the output.
func linesPattern(want string) *regexp.Regexp {
	var sb strings.Builder
	sb.WriteString(`\A`)
	lines := strings.Split(strings.TrimRight(want, "\n"), "\n")
	for i, line := range lines {
		last := i == len(lines)-1
		switch {
		case strings.TrimSpace(line) == "…" && last:
			sb.WriteString(`(?s:.*)`)
			continue
		case strings.TrimSpace(line) == "…":
			sb.WriteString(`(?:.*\n)*?`)
			continue
		}
		sb.WriteString(strings.ReplaceAll(regexp.QuoteMeta(line), "…", `.*`))
		if !last && !(i == len(lines)-2 && strings.TrimSpace(lines[i+1]) == "…") {
			sb.WriteString(`\n`)
		}
	}
	sb.WriteString(`\z`)
	return regexp.MustCompile(sb.String())
}
