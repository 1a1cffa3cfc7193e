package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"byor/pkg/resp"
)

// Beside the way: commands over plain HTTP, how they are read and how their replies are written.

// cutFormat cuts the format off an escaped path. Only the last ending counts: a key that is called a.txt is read as
// /c/GET/a.txt.json.
func cutFormat(path string) (rest, format string) {
	for _, format := range []string{"json", "txt", "raw"} {
		if rest, ok := strings.CutSuffix(path, "."+format); ok {
			return rest, format
		}
	}
	return path, "json"
}

// pathArguments makes a command of what stands behind /c/. A slash inside an argument is written as %2F.
func pathArguments(escaped string) ([][]byte, error) {
	var args [][]byte
	for part := range strings.SplitSeq(escaped, "/") {
		arg, err := url.PathUnescape(part)
		if err != nil {
			return nil, errors.New("the path has a % that is not followed by two hexadecimal digits")
		}
		args = append(args, []byte(arg))
	}
	if len(args[0]) == 0 {
		return nil, errors.New("the path must name a command, as in /c/GET/key")
	}
	return args, nil
}

// jsonArguments makes a command of a JSON array. Its elements are those of the operation cmd over WebSocket.
func jsonArguments(body []byte) ([][]byte, error) {
	if !utf8.Valid(body) {
		return nil, errors.New(`the body is not UTF-8; bytes are written as {"b64":"…"}`)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil || list == nil {
		return nil, errors.New(`the body must be a JSON array, as in ["SET","key","value"]`)
	}
	args, err := arguments(list)
	if len(list) == 0 {
		err = errors.New("the array must have the command's name and arguments")
	}
	if err == nil && len(args[0]) == 0 {
		err = errors.New("the command has no name")
	}
	return args, err
}

// formatted writes a reply.
func formatted(format string, v resp.Value) (body []byte, contentType string, refused *httpRefusal) {
	if format == "json" {
		return append(appendValue([]byte(`{"result":`), v), "}\n"...), "application/json", nil
	}
	if v.Null {
		return nil, "", &httpRefusal{status: http.StatusNotFound, code: "ERR", message: "there is no such value"}
	}
	if format == "txt" {
		return appendPlain(nil, v), "text/plain; charset=utf-8", nil
	}
	switch v.Kind {
	case resp.Array, resp.Set, resp.Map, resp.Push:
		return nil, "", &httpRefusal{status: http.StatusNotAcceptable, code: "ERR", message: "this reply is a list; raw is for one value"}
	case resp.SimpleString, resp.BulkString, resp.Verbatim:
		return v.Str, "application/octet-stream", nil
	}
	body = appendPlain(nil, v)
	return body[:len(body)-1], "application/octet-stream", nil // without the end of the line
}

// appendPlain appends a reply as text, one value a line. A value that is not there is an empty line.
func appendPlain(dst []byte, v resp.Value) []byte {
	switch v.Kind {
	case resp.Array, resp.Set, resp.Map, resp.Push:
		for _, e := range v.Elems {
			dst = appendPlain(dst, e)
		}
		return dst
	case resp.Integer:
		dst = strconv.AppendInt(dst, v.Int, 10)
	case resp.Double:
		dst = resp.AppendDouble(dst, v.Double)
	case resp.Bool:
		dst = strconv.AppendBool(dst, v.Bool)
	default:
		dst = append(dst, v.Str...)
	}
	return append(dst, '\n')
}
