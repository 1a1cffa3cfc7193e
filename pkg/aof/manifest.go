package aof

import (
	"bytes"
	"fmt"
	"strings"
)

// The manifest is a text file of one line per file:
//
//	file appendonly.aof.2.base.rdb seq 2 type b
//	file appendonly.aof.1.incr.aof seq 1 type h
//	file appendonly.aof.2.incr.aof seq 2 type i
//
// b is the base (at most one), i an increment (in the order they are replayed),
// h history: replaced by a rewrite and about to be deleted. The grammar and the
// error texts are those of aofLoadManifestFromFile in Redis's aof.c.

// fileType is the letter that a manifest gives a file.
type fileType byte

const (
	baseFile    fileType = 'b' // the state at the last rewrite
	incrFile    fileType = 'i' // changes since
	historyFile fileType = 'h' // no longer needed, to be deleted
)

// fileInfo is a line of the manifest.
type fileInfo struct {
	name string // without directory
	seq  int64  // counts bases, or increments; from 1
	kind fileType
}

// manifest lists the files of a log. The zero value is the manifest of a log
// that does not exist yet. It is a plain value: copy it with clone.
type manifest struct {
	base    *fileInfo // nil where there is none
	history []fileInfo
	incrs   []fileInfo // by ascending seq, gaps allowed; the last is written to
}

// manifestError is a manifest that cannot be understood. msg is Redis's text.
type manifestError struct {
	msg  string
	line int    // from 1; 0 where no line is to blame
	text string // the line
}

func (e *manifestError) Error() string {
	if e.text == "" {
		return e.msg
	}
	return fmt.Sprintf("%s (at line %d: '%s')", e.msg, e.line, e.text)
}

const (
	errManifestEmpty    = "Found an empty AOF manifest"
	errManifestFormat   = "Invalid AOF manifest file format"
	errManifestLong     = "The AOF manifest file contains too long line"
	errManifestTwoBases = "Found duplicate base file information"
	errManifestOrder    = "Found a non-monotonic sequence number"
	errManifestPath     = "File can't be a path, just a filename"
	errManifestType     = "Unknown AOF file type"
)

// maxManifestLine is the longest line, newline included, in bytes.
const maxManifestLine = 1024

// parseManifest reads the content of a manifest file. Its errors are
// *manifestError.
func parseManifest(data []byte) (manifest, error) {
	var m manifest
	if len(data) == 0 {
		return m, &manifestError{msg: errManifestEmpty}
	}
	for n := 1; len(data) > 0; n++ {
		line, rest := cutLine(data)
		data = rest
		if line[0] == '#' {
			continue
		}
		fail := func(msg, text string) (manifest, error) {
			return manifest{}, &manifestError{msg: msg, line: n, text: text}
		}
		// A NUL ends the line for Redis, which reads it as a C string.
		nul := bytes.IndexByte(line, 0)
		if line[len(line)-1] != '\n' || nul >= 0 {
			return fail(errManifestLong, "")
		}
		text := strings.Trim(string(line), " \t\r\n")
		fi, msg := parseManifestLine(text)
		if msg == "" {
			msg = m.add(fi)
		}
		if msg != "" {
			return fail(msg, text)
		}
	}
	return m, nil
}

// cutLine takes a line with its newline off the front of data, or as much of it
// as Redis's line buffer holds.
func cutLine(data []byte) (line, rest []byte) {
	n := min(len(data), maxManifestLine)
	if i := bytes.IndexByte(data[:n], '\n'); i >= 0 {
		n = i + 1
	}
	return data[:n], data[n:]
}

// parseManifestLine reads the pairs of a line. It returns a text of Redis's for
// a line that is no good, or "".
func parseManifestLine(text string) (fileInfo, string) {
	var fi fileInfo
	words, ok := splitArgs(text)
	// More pairs than the three are for versions to come.
	if !ok || len(words) < 6 || len(words)%2 != 0 {
		return fi, errManifestFormat
	}
	for i := 0; i < len(words); i += 2 {
		value := words[i+1]
		switch strings.ToLower(words[i]) {
		case "file":
			if strings.ContainsAny(value, `/\`) {
				return fi, errManifestPath
			}
			fi.name = value
		case "seq":
			fi.seq = leadingInt(value)
		case "type":
			fi.kind = 0
			if value != "" {
				fi.kind = fileType(value[0])
			}
		}
	}
	if fi.name == "" || fi.seq == 0 || fi.kind == 0 {
		return fi, errManifestFormat
	}
	return fi, ""
}

// add puts a line where it belongs, or returns the text of what is wrong with it.
func (m *manifest) add(fi fileInfo) string {
	switch fi.kind {
	case baseFile:
		if m.base != nil {
			return errManifestTwoBases
		}
		m.base = &fi
	case historyFile:
		m.history = append(m.history, fi)
	case incrFile:
		var last int64
		if n := len(m.incrs); n > 0 {
			last = m.incrs[n-1].seq
		}
		if fi.seq <= last {
			return errManifestOrder
		}
		m.incrs = append(m.incrs, fi)
	default:
		return errManifestType
	}
	return ""
}

// leadingInt is C's atoll: the number that a string begins with, or 0. Numbers
// too large for an int64 stay at its end.
func leadingInt(s string) int64 {
	const top = 1<<63 - 1
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	neg := strings.HasPrefix(s, "-")
	if neg || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	var n int64
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if d := int64(s[i] - '0'); n > (top-d)/10 {
			n = top
		} else {
			n = n*10 + d
		}
	}
	if neg {
		return -n
	}
	return n
}

// String is the content of the manifest file: base, history, increments.
func (m manifest) String() string {
	var b strings.Builder
	line := func(fi fileInfo) {
		fmt.Fprintf(&b, "file %s seq %d type %c\n", quoteName(fi.name), fi.seq, fi.kind)
	}
	if m.base != nil {
		line(*m.base)
	}
	for _, fi := range m.history {
		line(fi)
	}
	for _, fi := range m.incrs {
		line(fi)
	}
	return b.String()
}

// clone returns a manifest that shares nothing with m.
func (m manifest) clone() manifest {
	c := manifest{
		history: append([]fileInfo(nil), m.history...),
		incrs:   append([]fileInfo(nil), m.incrs...),
	}
	if m.base != nil {
		base := *m.base
		c.base = &base
	}
	return c
}

// files are those that hold the data, in the order they are replayed.
func (m manifest) files() []fileInfo {
	var files []fileInfo
	if m.base != nil {
		files = append(files, *m.base)
	}
	return append(files, m.incrs...)
}

// retire makes the base and the increments listed before the last n history.
func (m *manifest) retire(n int) {
	keep := len(m.incrs) - n
	gone := append([]fileInfo(nil), m.incrs[:keep]...)
	m.incrs = append([]fileInfo(nil), m.incrs[keep:]...)
	if m.base != nil {
		gone = append(gone, *m.base)
		m.base = nil
	}
	for i := range gone {
		gone[i].kind = historyFile
	}
	m.history = append(gone, m.history...)
}

// baseSeq is the number of the present base, 0 where there is none.
func (m manifest) baseSeq() int64 {
	if m.base == nil {
		return 0
	}
	return m.base.seq
}

// incrSeq is the number of the last increment, 0 where there is none.
func (m manifest) incrSeq() int64 {
	if len(m.incrs) == 0 {
		return 0
	}
	return m.incrs[len(m.incrs)-1].seq
}
