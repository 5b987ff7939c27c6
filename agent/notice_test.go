package agent

import (
	"testing"
	"time"

	"github.com/recfleet/recfleet/agent/x11"
	"github.com/recfleet/recfleet/test/desktop"
)

// What policy has to say is on the screen, and that it was is in the session's metadata.
func TestUserIsToldOfTheRecording(t *testing.T) {
	const width, height = 640, 480
	x := desktop.Start(t, width, height)
	c := startCoordinator(t)
	c.set(func() { c.notice = "This session is being recorded." })
	p := build(t, c, x.Display())
	if code, _, errs := p.start(); code != 0 {
		t.Fatalf("exit %d, %q", code, errs)
	}
	g, err := x11.OpenGrabber(x.Display(), x11.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	await(t, func() bool {
		picture, err := g.Grab(width, height)
		if err != nil {
			t.Fatal(err)
		}
		paper := 0
		for i := 0; i < len(picture.Pix); i += 4 {
			if [3]byte(picture.Pix[i:]) == [3]byte{0xdc, 0xf8, 0xff} {
				paper++
			}
		}
		return paper > 2000
	})
	if code, _, errs := p.call("stop", "--spool-dir", p.spool); code != 0 {
		t.Errorf("stop: exit %d, %q", code, errs)
	}
	all := c.all()
	if len(all) != 1 {
		t.Fatalf("%d sessions", len(all))
	}
	var noted []string
	for _, e := range all[0].events {
		if at := e.GetMetadataChanged().GetMetadata()[keyNotice]; at != "" {
			noted = append(noted, at)
		}
	}
	if len(noted) != 1 {
		t.Fatalf("noted %q", noted)
	}
	if at, err := time.Parse(time.RFC3339, noted[0]); err != nil || at.Before(all[0].start.GetStartTime().AsTime().Add(-time.Second)) {
		t.Errorf("noted %q, %v", noted, err)
	}
}
