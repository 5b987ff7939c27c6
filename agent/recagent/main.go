// Command recagent records the desktop of the machine it runs on.
//
// start and stop are the session hooks of the platform; run is the long-running part that start launches; status tells
// what it does.
package main

import (
	"os"
	"runtime/debug"
)

func main() {
	info, _ := debug.ReadBuildInfo()
	c := command{
		args: os.Args[1:], stdout: os.Stdout, stderr: os.Stderr, lookup: os.LookupEnv, environ: os.Environ, root: "/", program: os.Executable,
		version: version(info), exit: os.Exit,
	}
	os.Exit(c.execute())
}

// version returns what the build knows of itself.
func version(info *debug.BuildInfo) string {
	if info == nil {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value[:min(12, len(s.Value))]
		}
	}
	if v == "" {
		v = "unknown"
	}
	return v
}
