package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// process is a server in a process of its own.
type process struct {
	command *exec.Cmd
	input   io.WriteCloser
	answers *bufio.Scanner
	busURL  string
}

// startServer starts this program again as a server, and blocks until it serves.
func startServer(ctx context.Context, o order) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// Not with ctx: it drains when its input ends.
	p := &process{command: exec.Command(self, serveArgument)}
	p.command.Stderr = os.Stderr
	output, err := p.command.StdoutPipe()
	if err == nil {
		p.input, err = p.command.StdinPipe()
	}
	if err == nil {
		err = p.command.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	p.answers = bufio.NewScanner(output)
	a, err := p.say(o)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start server: %w", err), p.stop())
	}
	p.busURL = a.BusURL
	return p, nil
}

// say sends a line and waits for its answer.
func (p *process) say(line any) (answer, error) {
	if err := json.NewEncoder(p.input).Encode(line); err != nil {
		return answer{}, err
	}
	if !p.answers.Scan() {
		return answer{}, errors.Join(errors.New("the server has gone"), p.answers.Err())
	}
	var a answer
	if err := json.Unmarshal(p.answers.Bytes(), &a); err != nil {
		return answer{}, err
	}
	if a.Error != "" {
		return answer{}, errors.New(a.Error)
	}
	return a, nil
}

// stop lets the server drain, and ends it where that takes too long.
func (p *process) stop() error {
	_ = p.input.Close() // which is what tells it
	late := time.AfterFunc(time.Minute, func() { _ = p.command.Process.Kill() })
	defer late.Stop()
	if err := p.command.Wait(); err != nil {
		return fmt.Errorf("stop server: %w", err)
	}
	return nil
}

const ticksPerSecond = 100 // of times in /proc

// cpuOf reads how much CPU a process has taken so far.
func cpuOf(pid int) (time.Duration, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	text := string(raw)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("read /proc/%d/stat: %d fields", pid, len(fields))
	}
	var ticks int64
	for _, field := range fields[11:13] { // user and system time
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

func (p *process) cpu() (time.Duration, error) { return cpuOf(p.command.Process.Pid) }
