//go:build !linux

package supervise

import "time"

// monotonic has nobody to compare it with where there is no systemd.
func monotonic() time.Duration { return 0 }
