package resp

import "bytes"

// SplitArgs splits a line into words by the quoting rules of redis-cli, the inline protocol and
// redis.conf: "double quotes" know \xHH, \n, \r, \t, \b, \a and \<any>; 'single quotes' know only
// \'. A closing quote must be followed by a space or the end. It reports false for unbalanced
// quotes. The line ends at a NUL, if it has one, as in the C that it copies (sdssplitargs). Words
// that needed no unescaping point into line.
func SplitArgs(line []byte) ([][]byte, bool) {
	if i := bytes.IndexByte(line, 0); i >= 0 {
		line = line[:i]
	}
	var args [][]byte
	for i := 0; ; {
		for i < len(line) && isSpace(line[i]) {
			i++
		}
		if i == len(line) {
			return args[:len(args):len(args)], true
		}
		word, n, ok := splitWord(line[i:])
		if !ok {
			return nil, false
		}
		args = append(args, word)
		i += n
	}
}

// splitWord reads one word and returns it with the bytes it took. Quotes may open in the middle.
func splitWord(b []byte) (word []byte, n int, ok bool) {
	i := 0
	for i < len(b) && !endsWord(b[i]) && b[i] != '"' && b[i] != '\'' {
		i++
	}
	if i == len(b) || endsWord(b[i]) {
		return b[:i:i], i, true
	}
	word = append(make([]byte, 0, i+16), b[:i]...)
	var took int
	if b[i] == '"' {
		word, took, ok = doubleQuoted(word, b[i+1:])
	} else {
		word, took, ok = singleQuoted(word, b[i+1:])
	}
	i += 1 + took
	if !ok || i < len(b) && !isSpace(b[i]) {
		return nil, 0, false
	}
	return word, i, true
}

func doubleQuoted(dst, b []byte) ([]byte, int, bool) {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return dst, i + 1, true
		case c == '\\' && i+3 < len(b) && b[i+1] == 'x' && isHex(b[i+2]) && isHex(b[i+3]):
			dst = append(dst, unhex(b[i+2])<<4|unhex(b[i+3]))
			i += 3
		case c == '\\' && i+1 < len(b):
			i++
			dst = append(dst, unescape(b[i]))
		default:
			dst = append(dst, c)
		}
	}
	return nil, 0, false
}

func singleQuoted(dst, b []byte) ([]byte, int, bool) {
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\'':
			return dst, i + 1, true
		case c == '\\' && i+1 < len(b) && b[i+1] == '\'':
			i++
			dst = append(dst, '\'')
		default:
			dst = append(dst, c)
		}
	}
	return nil, 0, false
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

// isSpace is what may stand between words and behind a closing quote.
func isSpace(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r'
}

// endsWord is what ends a word without quotes: \v and \f separate words, but once inside one they
// belong to it.
func endsWord(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r'
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}
