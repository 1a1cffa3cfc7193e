package introspect

import (
	"fmt"
	"strings"
)

// Fields writes lines of INFO, name:value, of names and values that alternate. A truth is 1 or 0; a name without a
// value ends the list.
func Fields(b *strings.Builder, nameValue ...any) {
	for i := 0; i+1 < len(nameValue); i += 2 {
		v := nameValue[i+1]
		switch v {
		case true:
			v = 1
		case false:
			v = 0
		}
		fmt.Fprintf(b, "%v:%v\r\n", nameValue[i], v)
	}
}
