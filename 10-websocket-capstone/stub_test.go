//go:build unix
package main
import "testing"
func testUnit(t *testing.T, bin string){}
func testImage(t *testing.T, bin string){}
