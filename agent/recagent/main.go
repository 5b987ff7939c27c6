// Command recagent records the desktop of the machine it runs on.
//
// start and stop are the session hooks of the platform; run is the long-running part that start launches; status tells
// what it does.
package main

import (
	"os"

	"github.com/recfleet/recfleet/internal/version"
)

func main() {
	c := command{
		args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, environ: os.Environ, root: "/", self: os.Executable,
		version: version.Version, exit: os.Exit,
	}
	os.Exit(c.execute())
}
