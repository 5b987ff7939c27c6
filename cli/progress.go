package cli

import (
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress shows a bar on a terminal and nothing elsewhere.
func (a *app) progress(name string, size, done int64) io.WriteCloser {
	if !a.StderrTerminal || size <= 0 {
		return noBar{}
	}
	bar := progressbar.NewOptions64(size,
		progressbar.OptionSetDescription(name), progressbar.OptionSetWriter(a.Stderr), progressbar.OptionShowBytes(true),
		progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetWidth(30),
		progressbar.OptionEnableColorCodes(false), progressbar.OptionOnCompletion(func() { write(a.Stderr, "\n") }),
	)
	_ = bar.Set64(done)
	return bar
}

type noBar struct{}

func (noBar) Write(p []byte) (int, error) { return len(p), nil }

func (noBar) Close() error { return nil }

// parts shows how much of some work is done, where its size is not one in bytes.
func (a *app) parts(name string) *partsBar { return &partsBar{app: a, name: name} }

type partsBar struct {
	app  *app
	name string
	bar  *progressbar.ProgressBar
}

func (p *partsBar) set(done, whole int64) {
	if !p.app.StderrTerminal || whole <= 0 {
		return
	}
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(whole,
			progressbar.OptionSetDescription(p.name), progressbar.OptionSetWriter(p.app.Stderr), progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetWidth(30), progressbar.OptionEnableColorCodes(false),
			progressbar.OptionOnCompletion(func() { write(p.app.Stderr, "\n") }),
		)
	}
	_ = p.bar.Set64(min(done, whole))
}

// Close ends the line.
func (p *partsBar) Close() {
	if p.bar != nil && !p.bar.IsFinished() {
		_ = p.bar.Exit()
		write(p.app.Stderr, "\n")
	}
}

// spinner shows on a terminal what is being waited for.
func (a *app) spinner() *spinner {
	if !a.StderrTerminal {
		return &spinner{}
	}
	return &spinner{progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(a.Stderr), progressbar.OptionSpinnerType(14), progressbar.OptionSetElapsedTime(true),
		progressbar.OptionEnableColorCodes(false), progressbar.OptionClearOnFinish(), progressbar.OptionSetRenderBlankState(true),
		progressbar.OptionSetSpinnerChangeInterval(0),
	)}
}

type spinner struct{ bar *progressbar.ProgressBar }

func (s *spinner) show(state string) {
	if s.bar != nil {
		s.bar.Describe(state)
		_ = s.bar.Add(1)
	}
}

// Close clears the line.
func (s *spinner) Close() {
	if s.bar != nil {
		_ = s.bar.Finish()
	}
}
