package course_test

import (
	"fmt"

	"byor/pkg/check/course"
)

func ExampleHoles() {
	src := "func double(n int) int {\n\t// region: twice\n\treturn 2 * n\n\t// endregion\n}\n"
	skeleton, err := course.Holes(src, []course.Piece{{N: 1, Name: "Twice"}}, 0)
	fmt.Print(skeleton, err)
	// Output:
	// func double(n int) int {
	// 	// piece 1: Twice (GUIDE.md, Build it)
	// }
	// <nil>
}
