//go:build !race

package rules

const naiveSteps = 1_000_000
