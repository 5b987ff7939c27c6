package timeline

import (
	"testing"
	"time"
)

func TestTimeGoesOn(t *testing.T) {
	line := New()
	if !line.Start().Equal(line.Start().Truncate(time.Microsecond)) {
		t.Error("the start is not in whole microseconds")
	}
	before := line.Now()
	timer := time.NewTimer(20 * time.Millisecond)
	<-timer.C
	passed := line.Now().Sub(before)
	if passed < 19*time.Millisecond || passed > 10*time.Second {
		t.Errorf("20 ms took %s", passed)
	}
	if d := time.Until(line.Now()); d > time.Second || d < -time.Second {
		t.Errorf("the time line is %s off the wall clock", d)
	}
}
