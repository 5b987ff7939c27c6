package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/sync/errgroup"

	"github.com/recfleet/recfleet/encoder"
	"github.com/recfleet/recfleet/internal/metrics"
	"github.com/recfleet/recfleet/internal/program"
	"github.com/recfleet/recfleet/internal/version"
)

// counted runs the encoder and tells Prometheus of it meanwhile, draining included, where that was asked for.
func (s settings) counted(ctx context.Context, cfg encoder.Config) error {
	if s.metricsListen == "" {
		return encoder.Run(ctx, cfg)
	}
	cfg.Registry = metrics.New("recfleet_encoder", version.Version)
	listener, err := net.Listen("tcp", s.metricsListen)
	if err != nil {
		return program.BadInput(fmt.Errorf("--metrics-listen: %w", err))
	}
	cfg.Logger.Info("metrics listener opened", "address", listener.Addr().String())
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group errgroup.Group
	group.Go(func() error {
		return metrics.Serve(serving, listener, cfg.Registry, http.NotFoundHandler(), cfg.Logger.Named("metrics"))
	})
	err = encoder.Run(ctx, cfg)
	stop()
	return errors.Join(err, group.Wait())
}
