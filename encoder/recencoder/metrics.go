package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/recfleet/recfleet/internal/metrics"
	"github.com/recfleet/recfleet/internal/program"
	"github.com/recfleet/recfleet/internal/version"
)

// counted runs the encoder and tells Prometheus of it meanwhile, draining included, where that was asked for.
func (s settings) counted(ctx context.Context, logger hclog.Logger, run func(*metrics.Registry) error) error {
	registry := metrics.New()
	if s.metricsListen == "" {
		return run(registry)
	}
	registry.Process("recfleet_encoder", version.Version)
	listener, err := net.Listen("tcp", s.metricsListen)
	if err != nil {
		return program.BadInput(fmt.Errorf("--metrics-listen: %w", err))
	}
	logger.Info("metrics listener opened", "address", listener.Addr().String())
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group errgroup.Group
	group.Go(func() error {
		return registry.Serve(serving, listener, http.NotFoundHandler(), logger.Named("metrics"))
	})
	err = run(registry)
	stop()
	return errors.Join(err, group.Wait())
}
