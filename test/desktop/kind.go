package desktop

import (
	"fmt"
	"os"
	"path/filepath"
)

// Kind is a program that serves a display.
type Kind string

// The kinds of servers.
const (
	// Xvnc has one output and takes any size. It is what a zero Kind means.
	Xvnc Kind = "Xvnc"
	// Xorg is the server of a desktop's hardware, here with a driver that has
	// none: DUMMY0 to DUMMY15 are monitors to plug in and out. Root only.
	Xorg Kind = "Xorg"
	// Xephyr shows itself in a window of another server, and can be rotated.
	Xephyr Kind = "Xephyr"
)

// arguments returns the server's command line and environment. It writes the
// configuration files that they name.
func (cfg Config) arguments(dir string) (args, env []string, err error) {
	size := fmt.Sprintf("%dx%d", cfg.Width, cfg.Height)
	common := []string{"-displayfd", "3", "-nolisten", "tcp", "-noreset"}
	for _, name := range cfg.Without {
		common = append(common, "-extension", name)
	}
	switch cfg.Kind {
	case Xvnc, "":
		args = []string{
			"Xvnc", "-geometry", size, "-depth", "24", "-SecurityTypes", "None", "-localhost",
			"-rfbport", "-1", "-rfbunixpath", filepath.Join(dir, "rfb"), "-s", "0",
		}
	case Xorg:
		config := filepath.Join(dir, "xorg.conf")
		if err := os.WriteFile(config, fmt.Appendf(nil, xorgConfig, cfg.Width, cfg.Height), 0o600); err != nil {
			return nil, nil, err
		}
		args = []string{
			"Xorg", "-config", config, "-logfile", filepath.Join(dir, "log"), "-novtswitch", "-sharevts", "-keeptty", "-s", "0",
		}
	case Xephyr:
		args, env = []string{"Xephyr", "-screen", size, "-resizeable"}, cfg.Host.Env()
	default:
		return nil, nil, fmt.Errorf("no such kind of server: %q", cfg.Kind)
	}
	return append(args, common...), env, nil
}

// xorgConfig leaves the machine's own screen and keyboard alone.
const xorgConfig = `
Section "ServerFlags"
	Option "AutoAddDevices" "false"
	Option "AutoEnableDevices" "false"
	Option "AutoAddGPU" "false"
	Option "DontVTSwitch" "true"
EndSection
Section "Device"
	Identifier "card"
	Driver "dummy"
	VideoRam 256000
EndSection
Section "Monitor"
	Identifier "monitor"
	HorizSync 1.0-2000.0
	VertRefresh 1.0-500.0
EndSection
Section "Screen"
	Identifier "screen"
	Device "card"
	Monitor "monitor"
	DefaultDepth 24
	SubSection "Display"
		Depth 24
		Virtual %d %d
	EndSubSection
EndSection
`
