package object

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// longestLink is how long a link may be good at most.
const longestLink = time.Minute

// LinkOptions are what whoever follows a link is told of the object.
type LinkOptions struct{ ContentType, Disposition string }

// Links makes addresses by which whoever has one reads one version of one object, without credentials and for as long as the
// location's presign says. They are secrets: they belong into no log.
type Links struct{ bucket *bucket }

// LinksOf returns what makes links to a store's objects; nil for a directory, and where the location has no presign.
func LinksOf(s Store) *Links {
	b, ok := s.(*bucket)
	if !ok || b.presign == 0 {
		return nil
	}
	return &Links{b}
}

// Link returns an address of a version of an object; whether that is there is not looked at.
func (l *Links) Link(ctx context.Context, key, version string, o LinkOptions) (string, error) {
	if err := ValidKey(key); err != nil {
		return "", err
	}
	b := l.bucket
	signed, err := s3.NewPresignClient(b.client).PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: &b.name, Key: aws.String(b.prefix + key), VersionId: some(version), ResponseContentType: some(o.ContentType),
		ResponseContentDisposition: some(o.Disposition), ResponseCacheControl: aws.String("no-store, private"),
	}, s3.WithPresignExpires(b.presign), func(p *s3.PresignOptions) {
		p.ClientOptions = append(p.ClientOptions, func(c *s3.Options) { c.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired })
	})
	if err != nil {
		return "", fmt.Errorf("make link to object %s: %w", key, failure(ctx, err))
	}
	return signed.URL, nil
}

// Origin is where all links lead, as "https://bucket.s3.eu-central-1.amazonaws.com".
func (l *Links) Origin(ctx context.Context) (string, error) {
	link, err := l.Link(ctx, "origin", "", LinkOptions{})
	if err != nil {
		return "", err
	}
	u, err := url.Parse(link)
	if err != nil {
		return "", fmt.Errorf("read link: %w", err)
	}
	return u.Scheme + "://" + u.Host, nil
}

// parsePresign reads how long links are good.
func parsePresign(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > longestLink || d%time.Second != 0 {
		return 0, locationError("presign is not 1s to 60s, in whole seconds")
	}
	return d, nil
}
