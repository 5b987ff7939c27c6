package coordinator

import (
	"context"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// wishing is the catalog as the page reads it: who looks at a session waits for what is not encoded of it yet.
type wishing struct {
	*catalog.Catalog
	want func(ctx context.Context, session string, segment int)
}

// Detail returns a session, and has what is missing of it encoded first.
func (w *wishing) Detail(ctx context.Context, id string) (catalog.Detail, error) {
	d, err := w.Catalog.Detail(ctx, id)
	for _, s := range d.Segments {
		if !s.State.Final() {
			w.want(ctx, id, 0)
			break
		}
	}
	return d, err
}
