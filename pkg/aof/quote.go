package aof

import (
	"fmt"
	"strings"
)

// Quoting of names in the manifest: splitArgs is sdssplitargs and quoteName is
// sdscatrepr of Redis's sds.c, for names with blanks and the like.

// isSpace is C's isspace.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// splitArgs splits a line into words. A word may be quoted, in whole or in part:
// "…" with escapes \n \r \t \a \b \xHH, or '…' with only \'. It reports false for
// unbalanced quotes.
func splitArgs(s string) (words []string, ok bool) {
	for {
		for s != "" && isSpace(s[0]) {
			s = s[1:]
		}
		if s == "" {
			return words, true
		}
		var word string
		if word, s, ok = splitWord(s); !ok {
			return nil, false
		}
		words = append(words, word)
	}
}

// splitWord takes a word off the front of s.
func splitWord(s string) (word, rest string, ok bool) {
	var b []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ' ', '\n', '\r', '\t':
			return string(b), s[i:], true
		case '"', '\'':
			text, n, ok := unquote(s[i:])
			i += n
			// A closing quote ends the word: blank or nothing must follow.
			if !ok || i < len(s) && !isSpace(s[i]) {
				return "", "", false
			}
			return string(append(b, text...)), s[i:], true
		default:
			b = append(b, c)
		}
	}
	return string(b), "", true
}

// unquote reads the quoted text that s begins with and says how long it is with
// its quotes.
func unquote(s string) (text []byte, n int, ok bool) {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return text, i + 1, true
		case s[i] == '\\' && i+1 < len(s) && (quote == '"' || s[i+1] == quote):
			c, n := unescape(s[i:], quote)
			text = append(text, c)
			i += n - 1
		default:
			text = append(text, s[i])
		}
	}
	return nil, 0, false
}

// unescape reads the escape that s begins with and says how long it is.
func unescape(s string, quote byte) (c byte, n int) {
	if quote == '"' && s[1] == 'x' && len(s) >= 4 {
		hi, ok1 := hexDigit(s[2])
		lo, ok2 := hexDigit(s[3])
		if ok1 && ok2 {
			return hi<<4 | lo, 4
		}
	}
	if quote == '"' {
		if i := strings.IndexByte("nrtba", s[1]); i >= 0 {
			return "\n\r\t\b\a"[i], 2
		}
	}
	return s[1], 2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return (c | 0x20) - 'a' + 10, true
	}
	return 0, false
}

// quoteName returns the name as the manifest has it: as it is, or in double
// quotes where it holds a blank, a quote, a backslash or what cannot be printed.
// Redis overlooks the single quote, and cannot read what it has written then.
func quoteName(name string) string {
	plain := true
	for i := 0; i < len(name); i++ {
		c := name[i]
		plain = plain && c > ' ' && c < 0x7f && c != '"' && c != '\'' && c != '\\'
	}
	if plain {
		return name
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(name); i++ {
		c := name[i]
		if j := strings.IndexByte("\n\r\t\b\a\\\"", c); j >= 0 {
			b.WriteByte('\\')
			b.WriteByte(`nrtba\"`[j])
		} else if c >= ' ' && c < 0x7f {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
