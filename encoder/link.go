package encoder

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/internal/bus"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// busLink is the encoder's connection to the bus, dialed with the first grant and kept alive with later ones.
type busLink struct {
	key    *bus.Key
	dial   func(context.Context, bus.ClientConfig) (busReader, error)
	logger hclog.Logger

	reader  busReader
	renewAt time.Time
}

// wantedKey returns the public key to ask a grant for, or nothing where the grant is fresh.
func (l *busLink) wantedKey(now time.Time) string {
	if l.reader != nil && now.Before(l.renewAt) {
		return ""
	}
	return l.key.Public()
}

// take puts a grant to use. It blocks while it dials.
func (l *busLink) take(ctx context.Context, wire *recfleetv1.BusGrant) error {
	grant := bus.GrantFromProto(wire)
	if l.reader == nil {
		reader, err := l.dial(ctx, bus.ClientConfig{Key: l.key, Grant: grant, Logger: l.logger})
		if err != nil {
			return err
		}
		l.reader = reader
	} else {
		l.reader.Renew(grant)
	}
	now := time.Now()
	l.renewAt = now.Add(grant.Expires.Sub(now) * 2 / 3)
	return nil
}

func (l *busLink) close() {
	if l.reader != nil {
		_ = l.reader.Close()
	}
}

// dialed gives bus.Reader the shape of busReader.
type dialed struct{ *bus.Reader }

func (d dialed) Close() error {
	d.Reader.Close()
	return nil
}

func dialBus(ctx context.Context, cfg bus.ClientConfig) (busReader, error) {
	reader, err := bus.DialReader(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return dialed{reader}, nil
}
