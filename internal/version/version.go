// Package version holds the version of the programs.
package version

// Version is set by the linker in releases; see the Makefile.
var Version = "dev" //nolint:gochecknoglobals // the linker sets variables only
