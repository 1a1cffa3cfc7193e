package basics

import "fmt"

// typeNames are the values of Redis 7 that are no strings, by their type byte in an RDB.
var typeNames = map[byte]string{
	1: "list", 2: "set", 3: "sorted set", 4: "hash", 5: "sorted set", 6: "module", 7: "module",
	9: "hash", 10: "list", 11: "set", 12: "sorted set", 13: "hash", 14: "list", 15: "stream", 16: "hash",
	17: "sorted set", 18: "list", 19: "stream", 20: "set", 21: "stream",
}

// Unreadable says what begins with b in an RDB, for step 06, which knows only opcodes and strings: it has
// to refuse the rest. key reads the next string; in front of a value it is the key.
func Unreadable(b byte, key func() []byte) string {
	if name, ok := typeNames[b]; ok {
		return fmt.Sprintf("key %q is of type %d, a %s: this step only knows strings", key(), b, name)
	}
	return fmt.Sprintf("0x%02x is neither an opcode nor a type (functions and modules are beyond this step)", b)
}
