package course_test

import (
	"fmt"

	"byor/pkg/check/course"
)

func ExampleHoles() {
	src := "func double(n int) int {\n\t// region: twice\n\treturn 2 * n\n\t// endregion\n}\n"
	skeleton, names, err := course.Holes(src)
	fmt.Print(skeleton, names, err, "\n")
	// Output:
	// func double(n int) int {
	// 	// >>> write this: twice (GUIDE.md, Build it)
	// }
	// [twice] <nil>
}
