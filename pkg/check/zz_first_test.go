package check

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestZZFirst(t *testing.T) {
	for _, m := range mutants(t) {
		if m.step != 1 {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			r := Runner{Limit: impatient, Workers: 1}
			begin := time.Now()
			for _, c := range Of(1, 0) {
				res, err := r.Run(context.Background(), built.target(t, 1, m.patch), []Check{c})
				if err != nil {
					t.Fatal(err)
				}
				if res[0].Status == Skipped {
					fmt.Println("   skip", res[0].Name, res[0].Why)
				}
				if res[0].Status != Failed {
					continue
				}
				ok := res[0].Name == m.check && strings.Contains(strings.ToLower(res[0].Hint), strings.ToLower(m.hint))
				fmt.Printf("%v %s (want %s) %s: %q  [%v]\n   got %s\n", ok, res[0].Name, m.check, m.name, res[0].Hint, time.Since(begin), res[0].Got)
				if !ok {
					t.Error("no")
				}
				return
			}
			t.Error("passes")
		})
	}
}
