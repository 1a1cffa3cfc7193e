package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"byor/pkg/resp"
)

// RESP values as JSON and back. JSON has no byte strings, no integers beyond
// 2^53 (in a browser), no maps with keys that are not strings, no sets and no
// infinity; each of these becomes an object with one telling member:
//
//	{"b64":"/wA="}  {"int":"9007199254740993"}  {"map":[[k,v],…]}  {"set":[…]}
//	{"double":"inf"}  {"err":{"code":"ERR","message":"…"}}

const maxSafeInt = 1<<53 - 1 // the last integer that a JavaScript number holds exactly

// appendValue appends v as JSON.
func appendValue(dst []byte, v resp.Value) []byte {
	if v.Null {
		return append(dst, "null"...)
	}
	switch v.Kind {
	case resp.SimpleString, resp.BulkString, resp.Verbatim:
		return appendText(dst, v.Str)
	case resp.SimpleError, resp.BulkError:
		return append(appendError(append(dst, `{"err":`...), string(v.Str)), '}')
	case resp.Integer:
		return appendInt(dst, v.Int)
	case resp.BigNumber:
		return append(append(append(dst, `{"int":"`...), v.Str...), `"}`...)
	case resp.Bool:
		return strconv.AppendBool(dst, v.Bool)
	case resp.Double:
		if math.IsInf(v.Double, 0) || math.IsNaN(v.Double) {
			return append(resp.AppendDouble(append(dst, `{"double":"`...), v.Double), `"}`...)
		}
		return strconv.AppendFloat(dst, v.Double, 'g', -1, 64)
	case resp.Map:
		dst = append(dst, `{"map":[`...)
		for i := 0; i+1 < len(v.Elems); i += 2 {
			dst = appendComma(dst, i)
			dst = appendValue(append(dst, '['), v.Elems[i])
			dst = append(appendValue(append(dst, ','), v.Elems[i+1]), ']')
		}
		return append(dst, "]}"...)
	case resp.Set:
		return append(appendValues(append(dst, `{"set":`...), v.Elems), '}')
	case resp.Array, resp.Push:
		return appendValues(dst, v.Elems)
	}
	return append(dst, "null"...)
}

func appendValues(dst []byte, vs []resp.Value) []byte {
	dst = append(dst, '[')
	for i, v := range vs {
		dst = appendValue(appendComma(dst, i), v)
	}
	return append(dst, ']')
}

func appendComma(dst []byte, i int) []byte {
	if i > 0 {
		return append(dst, ',')
	}
	return dst
}

func appendInt(dst []byte, n int64) []byte {
	if n > maxSafeInt || n < -maxSafeInt {
		return append(strconv.AppendInt(append(dst, `{"int":"`...), n, 10), `"}`...)
	}
	return strconv.AppendInt(dst, n, 10)
}

// appendText appends bytes as a JSON string or, when they are not UTF-8, as base64.
func appendText(dst, text []byte) []byte {
	if utf8.Valid(text) {
		return appendString(dst, text)
	}
	dst = append(dst, `{"b64":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, text), `"}`...)
}

// appendString appends valid UTF-8 as a JSON string.
func appendString[T string | []byte](dst []byte, s T) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(dst, s[start:]...), '"')
}

// appendError appends a Redis error, "CODE text", as code and message.
func appendError(dst []byte, text string) []byte {
	code, message := errorParts(text)
	return appendErrorParts(dst, code, message)
}

// errorParts takes a Redis error, "CODE text", apart.
func errorParts(text string) (code, message string) {
	code, message, ok := strings.Cut(text, " ")
	if !ok || code == "" || strings.ToUpper(code) != code {
		return "ERR", text
	}
	return code, message
}

// transient are the errors after which the same command may succeed later.
var transient = map[string]bool{
	"LOADING": true, "BUSY": true, "TRYAGAIN": true, "MASTERDOWN": true, "NOREPLICAS": true, "CLUSTERDOWN": true, "RATE": true,
}

func appendErrorParts(dst []byte, code, message string) []byte {
	dst = append(dst, `{"code":`...)
	dst = appendString(dst, strings.ToValidUTF8(code, "?"))
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, strings.ToValidUTF8(message, "?"))
	dst = append(dst, `,"retry":`...)
	return append(strconv.AppendBool(dst, transient[code]), '}')
}

// errArgument is the answer to an argument that stands for no bytes.
var errArgument = errors.New(`an argument is a string, a number, {"b64":"…"} or {"int":"…"}`)

// arguments makes a command of the args of an operation.
func arguments(list []json.RawMessage) ([][]byte, error) {
	if len(list) == 0 {
		return nil, errors.New("args must have the command's name and arguments")
	}
	args := make([][]byte, len(list))
	for i, raw := range list {
		arg, err := argument(raw)
		if err != nil {
			return nil, err
		}
		args[i] = arg
	}
	return args, nil
}

// argument turns a JSON value into the bytes of a command's argument. A
// number stands for its digits as they were written, so none is rounded.
func argument(raw json.RawMessage) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil, errArgument
	}
	switch c := raw[0]; {
	case c == '"':
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, errArgument
		}
		return []byte(s), nil
	case c == '-' || c >= '0' && c <= '9':
		return raw, nil
	case c == '{':
		var o struct {
			B64 *string `json:"b64"`
			Int *string `json:"int"`
		}
		if err := json.Unmarshal(raw, &o); err != nil {
			return nil, errArgument
		}
		if o.B64 != nil && o.Int == nil {
			if text, err := base64.StdEncoding.DecodeString(*o.B64); err == nil {
				return text, nil
			}
		}
		if o.Int != nil && o.B64 == nil && isInteger(*o.Int) {
			return []byte(*o.Int), nil
		}
	}
	return nil, errArgument
}

func isInteger(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}
