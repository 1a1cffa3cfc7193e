// Package steps brings in the checks of all ten steps: who imports it for its effect can ask package check for
// them. The checks of step NN and of its exercises stand in stepNN.
package steps

import (
	_ "byor/pkg/check/step01" // each registers its checks
	_ "byor/pkg/check/step02"
	_ "byor/pkg/check/step03"
	_ "byor/pkg/check/step04"
	_ "byor/pkg/check/step05"
	_ "byor/pkg/check/step06"
	_ "byor/pkg/check/step07"
	_ "byor/pkg/check/step08"
	_ "byor/pkg/check/step09"
	_ "byor/pkg/check/step10"
)
