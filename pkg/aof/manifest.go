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

// FileType is the letter that a manifest gives a file.
type FileType byte

const (
	BaseFile    FileType = 'b' // the state at the last rewrite
	IncrFile    FileType = 'i' // changes since
	HistoryFile FileType = 'h' // no longer needed, to be deleted
)

// FileInfo is a line of the manifest.
type FileInfo struct {
	Name string // without directory
	Seq  int64  // counts bases, or increments; from 1
	Type FileType
}

// Manifest lists the files of a log. The zero value is the manifest of a log
// that does not exist yet. It is a plain value: copy it with Clone.
type Manifest struct {
	Base    *FileInfo // nil where there is none
	History []FileInfo
	Incrs   []FileInfo // by ascending Seq, gaps allowed; the last is written to
}

// ManifestError is a manifest that cannot be understood. Msg is Redis's text.
type ManifestError struct {
	Msg  string
	Line int    // from 1; 0 where no line is to blame
	Text string // the line
}

func (e *ManifestError) Error() string {
	if e.Text == "" {
		return e.Msg
	}
	return fmt.Sprintf("%s (at line %d: '%s')", e.Msg, e.Line, e.Text)
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

// ParseManifest reads the content of a manifest file. Its errors are
// *ManifestError.
func ParseManifest(data []byte) (Manifest, error) {
	var m Manifest
	if len(data) == 0 {
		return m, &ManifestError{Msg: errManifestEmpty}
	}
	for n := 1; len(data) > 0; n++ {
		line, rest := cutLine(data)
		data = rest
		if line[0] == '#' {
			continue
		}
		fail := func(msg, text string) (Manifest, error) {
			return Manifest{}, &ManifestError{Msg: msg, Line: n, Text: text}
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
func parseManifestLine(text string) (FileInfo, string) {
	var fi FileInfo
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
			fi.Name = value
		case "seq":
			fi.Seq = leadingInt(value)
		case "type":
			fi.Type = 0
			if value != "" {
				fi.Type = FileType(value[0])
			}
		}
	}
	if fi.Name == "" || fi.Seq == 0 || fi.Type == 0 {
		return fi, errManifestFormat
	}
	return fi, ""
}

// add puts a line where it belongs, or returns the text of what is wrong with it.
func (m *Manifest) add(fi FileInfo) string {
	switch fi.Type {
	case BaseFile:
		if m.Base != nil {
			return errManifestTwoBases
		}
		m.Base = &fi
	case HistoryFile:
		m.History = append(m.History, fi)
	case IncrFile:
		var last int64
		if n := len(m.Incrs); n > 0 {
			last = m.Incrs[n-1].Seq
		}
		if fi.Seq <= last {
			return errManifestOrder
		}
		m.Incrs = append(m.Incrs, fi)
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
func (m Manifest) String() string {
	var b strings.Builder
	line := func(fi FileInfo) {
		fmt.Fprintf(&b, "file %s seq %d type %c\n", quoteName(fi.Name), fi.Seq, fi.Type)
	}
	if m.Base != nil {
		line(*m.Base)
	}
	for _, fi := range m.History {
		line(fi)
	}
	for _, fi := range m.Incrs {
		line(fi)
	}
	return b.String()
}

// Clone returns a manifest that shares nothing with m.
func (m Manifest) Clone() Manifest {
	c := Manifest{
		History: append([]FileInfo(nil), m.History...),
		Incrs:   append([]FileInfo(nil), m.Incrs...),
	}
	if m.Base != nil {
		base := *m.Base
		c.Base = &base
	}
	return c
}

// Files are those that hold the data, in the order they are replayed.
func (m Manifest) Files() []FileInfo {
	var files []FileInfo
	if m.Base != nil {
		files = append(files, *m.Base)
	}
	return append(files, m.Incrs...)
}

// retire makes the base and the increments listed before the last n history.
func (m *Manifest) retire(n int) {
	keep := len(m.Incrs) - n
	gone := append([]FileInfo(nil), m.Incrs[:keep]...)
	m.Incrs = append([]FileInfo(nil), m.Incrs[keep:]...)
	if m.Base != nil {
		gone = append(gone, *m.Base)
		m.Base = nil
	}
	for i := range gone {
		gone[i].Type = HistoryFile
	}
	m.History = append(gone, m.History...)
}

// baseSeq is the number of the present base, 0 where there is none.
func (m Manifest) baseSeq() int64 {
	if m.Base == nil {
		return 0
	}
	return m.Base.Seq
}

// incrSeq is the number of the last increment, 0 where there is none.
func (m Manifest) incrSeq() int64 {
	if len(m.Incrs) == 0 {
		return 0
	}
	return m.Incrs[len(m.Incrs)-1].Seq
}
