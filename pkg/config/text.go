package config

import (
	"errors"
	"os"
	"path/filepath"
)

// Quote prints bytes as redis-cli and Redis's logs do.
func Quote(b []byte) string {
	q := []byte{'"'}
	for _, ch := range b {
		switch {
		case ch == '\\' || ch == '"':
			q = append(q, '\\', ch)
		case ch == '\n':
			q = append(q, `\n`...)
		case ch == '\r':
			q = append(q, `\r`...)
		case ch == '\t':
			q = append(q, `\t`...)
		case ch == '\a':
			q = append(q, `\a`...)
		case ch == '\b':
			q = append(q, `\b`...)
		case ch < ' ' || ch > '~':
			q = append(q, `\x`...)
			q = append(q, "0123456789abcdef"[ch>>4], "0123456789abcdef"[ch&15])
		default:
			q = append(q, ch)
		}
	}
	return string(append(q, '"'))
}

// AbsDir returns a path that does not depend on where the process is.
func AbsDir(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}

func setDir(c *Config, v string) error {
	v = c.InDir(v) // a relative one starts from the one before, as if the process went there
	fi, err := os.Stat(v)
	if err != nil {
		return errors.New(ErrnoText(err))
	}
	if !fi.IsDir() {
		return errors.New("Not a directory") //nolint:staticcheck // the system's words
	}
	c.Dir = AbsDir(v)
	return nil
}

// ErrnoText returns the system's words for an error, without the operation and the path.
func ErrnoText(err error) string {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "No such file or directory"
	case errors.Is(err, os.ErrPermission):
		return "Permission denied"
	}
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
