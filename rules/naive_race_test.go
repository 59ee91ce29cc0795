//go:build race

package rules

const naiveSteps = 50_000 // the detector makes each twenty times as slow
