package agent

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/recfleet/recfleet/test/desktop"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// change is a change of the screen and what is to be told of it: "epoch 640x480 DUMMY0", or the same with "monitors" where the
// size stays; nothing where the layout stays.
type change struct {
	do   func() error
	told string
}

func arranged(x *desktop.Server, args ...string) func() error {
	return func() error { return x.Arrange(args...) }
}

// layout names a geometry and its monitors with their places.
func layout(kind string, g *recfleetv1.Geometry) string {
	var monitors []string
	for _, m := range g.GetMonitors() {
		monitors = append(monitors, fmt.Sprintf("%s@%d,%d", m.GetName(), m.GetX(), m.GetY()))
	}
	slices.Sort(monitors)
	return fmt.Sprintf("%s %dx%d %s", kind, g.GetWidth(), g.GetHeight(), strings.Join(monitors, " "))
}

// layouts lists what was told of the screen.
func (c *coordinator) layouts() (all []string) {
	for _, e := range c.all()[0].events {
		switch {
		case e.GetEpochStarted() != nil:
			all = append(all, layout("epoch", e.GetEpochStarted().GetGeometry()))
		case e.GetMonitorsChanged() != nil:
			all = append(all, layout("monitors", e.GetMonitorsChanged().GetGeometry()))
		}
	}
	return all
}

// records makes the changes one after the other while the agent records, and checks that each is told of, once, and that there is no
// gap.
func records(t *testing.T, x *desktop.Server, first string, changes []change) {
	t.Helper()
	c := startCoordinator(t)
	a := runAgent(t, c, x.Display(), t.TempDir())
	a.await(a.Durable())
	want := []string{first}
	for _, ch := range changes {
		before := a.Status().Frames
		await(t, func() bool { return a.Status().Frames >= before+4 })
		if err := ch.do(); err != nil {
			t.Fatal(err)
		}
		if ch.told != "" {
			want = append(want, ch.told)
			await(t, func() bool { return len(c.layouts()) >= len(want) })
		}
	}
	before := a.Status().Frames
	await(t, func() bool { return a.Status().Frames >= before+4 })
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	if got := c.layouts(); !slices.Equal(got, want) {
		t.Errorf("told of\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	s := c.all()[0]
	checkWhole(t, s)
	if s.gaps() != "" {
		t.Errorf("gaps %s", s.gaps())
	}
}

func TestMonitorsComeAndGo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("Xorg takes a configuration of ours from root only")
	}
	x := desktop.StartConfig(t, desktop.Config{Width: 640, Height: 480, Kind: desktop.Xorg})
	records(t, x, "epoch 640x480 DUMMY0@0,0", []change{
		{arranged(x, "--addmode", "DUMMY1", "640x480"), ""},
		{arranged(x, "--output", "DUMMY1", "--mode", "640x480", "--right-of", "DUMMY0"), "epoch 1280x480 DUMMY0@0,0 DUMMY1@640,0"},
		{arranged(x, "--output", "DUMMY1", "--left-of", "DUMMY0"), "monitors 1280x480 DUMMY0@640,0 DUMMY1@0,0"},
		{arranged(x, "--output", "DUMMY1", "--primary"), "monitors 1280x480 DUMMY0@640,0 DUMMY1@0,0"},
		{arranged(x, "--output", "DUMMY1", "--below", "DUMMY0"), "epoch 640x960 DUMMY0@0,0 DUMMY1@0,480"},
		{arranged(x, "--output", "DUMMY0", "--off", "--output", "DUMMY1", "--pos", "0x0"), "epoch 640x480 DUMMY1@0,0"},
	})
}

func TestScreenIsRotated(t *testing.T) {
	host := desktop.Start(t, 1000, 1000)
	x := desktop.StartConfig(t, desktop.Config{Width: 640, Height: 480, Kind: desktop.Xephyr, Host: host})
	records(t, x, "epoch 640x480 default@0,0", []change{
		{arranged(x, "-o", "left"), "epoch 480x640 default@0,0"},
		{arranged(x, "-o", "right"), ""}, // the pictures show it
		{arranged(x, "-o", "inverted"), "epoch 640x480 default@0,0"},
		{arranged(x, "-o", "normal"), ""},
	})
}

// A screen of one pixel, from which servers can only grow: none shrinks below 32.
func TestSmallScreens(t *testing.T) {
	x := desktop.Start(t, 1, 1)
	resized := func(w, h int) func() error { return func() error { return x.Resize(w, h) } }
	records(t, x, "epoch 1x1 VNC-0@0,0", []change{
		{resized(33, 241), "epoch 33x241 VNC-0@0,0"},
		{func() error { return x.SetMonitor("strip", 0, 0, 33, 100) }, "monitors 33x241 VNC-0@0,0 strip@0,0"},
		{resized(32, 32), "epoch 32x32 VNC-0@0,0 strip@0,0"},
	})
}
