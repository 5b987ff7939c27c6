// Package office is a desktop of real programs: a browser in which somebody reads, and two terminals.
//
// In comes a running X server, out come the programs on its screen, which need nobody to go on. They end with Stop.
package office

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/recfleet/recfleet/test/desktop"
)

// openPatience is how long the programs may take to show themselves.
const openPatience = time.Minute

//go:embed document.html
var document []byte

// Programs are real programs on a display.
type Programs struct {
	server  *desktop.Server
	dir     string
	running []*desktop.Program
}

// Open starts the programs and blocks until each shows its window; what they keep is in dir, which must outlive them.
func Open(server *desktop.Server, dir string) (*Programs, error) {
	p := &Programs{server: server, dir: dir}
	page := filepath.Join(dir, "document.html")
	err := os.WriteFile(page, document, 0o600)
	commands := [][]string{
		{"openbox", "--sm-disable"},
		{"xterm", "-geometry", "100x30+1180+40", "-e", "sh", "-c",
			"n=0; while :; do n=$((n+1)); echo \"$(date +%T) request $n served in $((n*37%91)) ms\"; sleep 0.7; done"},
		{"xterm", "-geometry", "100x30+1180+560", "-e", "top", "-d", "3"},
		{"chromium", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--user-data-dir=" + filepath.Join(dir, "chromium"),
			"--window-position=20,40", "--window-size=1130,1000", "file://" + page},
	}
	ctx, cancel := context.WithTimeout(context.Background(), openPatience)
	defer cancel()
	for windows, command := range commands {
		if err != nil {
			break
		}
		err = p.run(ctx, command, windows)
	}
	if err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// run starts one program and waits until there are that many windows.
func (p *Programs) run(ctx context.Context, command []string, windows int) error {
	program, err := p.server.Run(command[0], command[1:]...)
	if err != nil {
		return err
	}
	p.running = append(p.running, program)
	if err := p.server.WaitWindows(ctx, windows); err != nil {
		return fmt.Errorf("run %s: %w: %s", command[0], err, program.Said())
	}
	return nil
}

// Begin checks that all programs are there still: what they do, they do by themselves.
func (p *Programs) Begin() error {
	for _, program := range p.running {
		select {
		case <-program.Exited():
			return fmt.Errorf("a program ended: %s", program.Said())
		default:
		}
	}
	return nil
}

// Stop ends the programs.
func (p *Programs) Stop() error {
	for i := len(p.running) - 1; i >= 0; i-- {
		p.running[i].Stop()
	}
	return nil
}
