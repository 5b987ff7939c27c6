package agent

import (
	"context"

	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/agent/enroll"
	"github.com/recfleet/recfleet/internal/identity"
)

// way is how the coordinator is reached. run blocks until its context is done, which ends what goes that way.
type way struct {
	grpc.ClientConnInterface
	run func(context.Context)
}

// way returns the way for what the configuration has: a token that is shown with each call, or one for joining.
func (a *Agent) way() (way, error) {
	if identity.IsEnrollment(a.cfg.Coordinator.Token) {
		link, err := enroll.Open(enroll.Config{
			Coordinator: a.cfg.Coordinator, Dir: a.cfg.SpoolDir, Machine: enroll.Machine("/"), AWS: enroll.AWS{Profile: a.cfg.AWSProfile}, Logger: a.log.Named("enroll"),
		})
		if err != nil {
			return way{}, err
		}
		return way{link, link.Run}, nil
	}
	conn, err := a.cfg.Coordinator.Dial()
	if err != nil {
		return way{}, err
	}
	conn.Connect() // while the display is opened
	return way{conn, func(ctx context.Context) {
		<-ctx.Done()
		_ = conn.Close()
	}}, nil
}
