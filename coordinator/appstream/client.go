package appstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/appstream"
	"github.com/aws/aws-sdk-go-v2/service/appstream/types"
	"github.com/aws/smithy-go"

	"github.com/recfleet/recfleet/coordinator/policy"
)

// ErrGone says that the platform does not know a session: it is over.
var ErrGone = errors.New("the platform does not know the session")

const (
	tries    = 5
	pageSize = 50
	maxPages = 1000
	// tryTimeout bounds one try.
	tryTimeout = 30 * time.Second
)

// Client speaks to AppStream in one region. It is safe for concurrent use.
type Client struct{ api *appstream.Client }

// Dial returns a Client; nothing is reached yet. Credentials, and the region where it is empty, come from the SDK's usual chain.
func Dial(ctx context.Context, region, endpoint string) (Platform, error) {
	return dial(ctx, region, endpoint, retry.DefaultMaxBackoff)
}

func dial(ctx context.Context, region, endpoint string, maxBackoff time.Duration) (*Client, error) {
	options := []func(*config.LoadOptions) error{config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = tries, maxBackoff })
	})}
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("read AWS settings: %w", err)
	}
	if cfg.Region == "" {
		return nil, errors.New("the region is not known: set appstream.region in the policy, or AWS_REGION")
	}
	return &Client{appstream.NewFromConfig(cfg, func(o *appstream.Options) {
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
		o.HTTPClient = &http.Client{Timeout: tryTimeout, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // credentials follow nobody
		}}
	})}, nil
}

// Expire ends a session at once. Idempotent. ErrGone says that the platform does not know it.
func (c *Client) Expire(ctx context.Context, session string) error {
	_, err := c.api.ExpireSession(ctx, &appstream.ExpireSessionInput{SessionId: &session})
	return failure(err)
}

// Connected returns the active sessions of a stack and fleet to which users are connected, by every way of authentication that
// the policy names: the platform lists one at a time.
func (c *Client) Connected(ctx context.Context, fleet policy.Fleet) (found []Connection, err error) {
	for _, way := range fleet.Authentication {
		input := &appstream.DescribeSessionsInput{
			StackName: &fleet.Stack, FleetName: &fleet.Fleet, AuthenticationType: types.AuthenticationType(strings.ToUpper(way)), Limit: aws.Int32(pageSize),
		}
		for page := 0; ; page++ {
			if page == maxPages {
				return nil, fmt.Errorf("more than %d pages of sessions", maxPages)
			}
			answer, err := c.api.DescribeSessions(ctx, input)
			if err != nil {
				return nil, failure(err)
			}
			for _, s := range answer.Sessions {
				if s.State == types.SessionStateActive && s.ConnectionState == types.SessionConnectionStateConnected && aws.ToString(s.Id) != "" {
					found = append(found, Connection{
						Session: *s.Id, User: aws.ToString(s.UserId), Stack: fleet.Stack, Fleet: fleet.Fleet, Start: aws.ToTime(s.StartTime),
					})
				}
			}
			if aws.ToString(answer.NextToken) == "" {
				break
			}
			input.NextToken = answer.NextToken
		}
	}
	return found, nil
}

// failure makes one short line of an error of the SDK.
func failure(err error) error {
	var api smithy.APIError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &api):
		return fmt.Errorf("AppStream: %s", oneLine(err.Error()))
	case api.ErrorCode() == "ResourceNotFoundException":
		return fmt.Errorf("%w: %s", ErrGone, oneLine(api.ErrorMessage()))
	}
	return fmt.Errorf("AppStream: %s: %s", oneLine(api.ErrorCode()), oneLine(api.ErrorMessage()))
}

func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "..."
	}
	return text
}
