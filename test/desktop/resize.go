package desktop

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// resizeTimeout bounds one change of size; a free machine takes 30 ms.
const resizeTimeout = 20 * time.Second

var currentSize = regexp.MustCompile(`current (\d+) x (\d+)`)

// Resize gives the screen of an Xvnc another size, odd sizes included, by a new
// RandR mode, and returns when the root window has it.
func (s *Server) Resize(width, height int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// The name must not be one that the server has of its own.
	mode := fmt.Sprintf("desktop-%dx%d", width, height)
	if !s.modes[mode] {
		w, h := strconv.Itoa(width), strconv.Itoa(height)
		if _, err := s.xrandr("--newmode", mode, "60", w, w, w, w, h, h, h, h); err != nil {
			return fmt.Errorf("make mode %s: %w", mode, err)
		}
		if _, err := s.xrandr("--addmode", "VNC-0", mode); err != nil {
			return fmt.Errorf("add mode %s: %w", mode, err)
		}
		s.modes[mode] = true
	}
	// The resolution is given, since it cannot be told from a screen of no millimeters.
	if _, err := s.xrandr("--dpi", "96", "--output", "VNC-0", "--mode", mode); err != nil {
		return fmt.Errorf("set mode %s: %w", mode, err)
	}
	gotWidth, gotHeight, err := s.size()
	if err != nil {
		return err
	}
	if gotWidth != width || gotHeight != height {
		return fmt.Errorf("set mode %s: screen is %dx%d", mode, gotWidth, gotHeight)
	}
	return nil
}

// Size asks the server for the size of its screen in pixels.
func (s *Server) Size() (width, height int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size()
}

// SetMonitor lays a virtual monitor with that name over part of the screen.
// The size of the screen stays.
func (s *Server) SetMonitor(name string, x, y, width, height int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	area := fmt.Sprintf("%d/300x%d/200+%d+%d", width, height, x, y)
	if _, err := s.xrandr("--setmonitor", name, area, "none"); err != nil {
		return fmt.Errorf("set monitor %s: %w", name, err)
	}
	return nil
}

// Arrange has xrandr change the layout: rotate the screen, or plug monitors in
// and out.
func (s *Server) Arrange(args ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.xrandr(args...); err != nil {
		return fmt.Errorf("arrange screen: %w", err)
	}
	return nil
}

func (s *Server) size() (width, height int, err error) {
	out, err := s.xrandr("--current")
	if err != nil {
		return 0, 0, fmt.Errorf("read screen size: %w", err)
	}
	match := currentSize.FindSubmatch(out)
	if match == nil {
		return 0, 0, fmt.Errorf("read screen size: no size in %q", out)
	}
	width, _ = strconv.Atoi(string(match[1]))
	height, _ = strconv.Atoi(string(match[2]))
	return width, height, nil
}

func (s *Server) xrandr(args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), resizeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "xrandr", args...)
	cmd.Env = s.Env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return out, nil
}
