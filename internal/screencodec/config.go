package screencodec

import "fmt"

// Config is what an Encoder is made for.
type Config struct {
	// Width and Height of every picture, in pixels, 1 to MaxSide.
	Width, Height int
	// KeyInterval is the number of pictures from one key picture to the next,
	// repeats included; 0 means DefaultKeyInterval.
	KeyInterval int
}

// DefaultKeyInterval is a minute at five pictures a second. Streams are read
// from their beginning, so that more key pictures would only cost bytes.
const DefaultKeyInterval = 300

// Validate tells what is wrong with the configuration.
func (c Config) Validate() error {
	if c.Width < 1 || c.Width > MaxSide || c.Height < 1 || c.Height > MaxSide {
		return fmt.Errorf("picture of %dx%d: sides must be 1 to %d", c.Width, c.Height, MaxSide)
	}
	if c.KeyInterval < 0 {
		return fmt.Errorf("key interval %d is negative", c.KeyInterval)
	}
	return nil
}
