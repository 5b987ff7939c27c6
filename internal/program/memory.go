package program

import "runtime/debug"

// collectAt is by how many percent memory may grow beyond what is in use before it is collected.
const collectAt = 12

// SpareMemory has garbage collected early, for a program that holds many connections which say little: most of what it has in use stays
// so, and the collector's usual margin would be as much again. It changes nothing where the environment says how Go is to collect.
func SpareMemory(getenv func(string) string) {
	if getenv("GOGC") == "" && getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(collectAt)
	}
}
