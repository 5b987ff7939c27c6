package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc/codes"

	"github.com/recfleet/recfleet/cli/verify"
	"github.com/recfleet/recfleet/internal/manifest"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// documentsOf returns the documents of a session that its last manifest wants, the end marker among them, which names the first manifest.
func documentsOf(m manifest.Manifest, first []byte) (all []source, problems []verify.Problem, err error) {
	files := map[string]recfleetv1.RecordingFile{
		manifest.MetadataName: recfleetv1.RecordingFile_RECORDING_FILE_METADATA, manifest.EventsName: recfleetv1.RecordingFile_RECORDING_FILE_EVENTS,
	}
	for _, d := range m.Documents {
		file, ok := files[d.Name]
		sum, err := hex.DecodeString(d.SHA256)
		if !ok || err != nil {
			problems = append(problems, verify.Problem{Kind: verify.Manifest, Detail: fmt.Sprintf("it names a document %s with the SHA-256 %s, which cannot be", quote(d.Name), quote(d.SHA256))})
			continue
		}
		all = append(all, source{session: m.Session.ID, file: file, key: d.Name, bytes: d.Bytes, sha256: sum})
	}
	// What wrote manifests before there were documents wrote no end marker either.
	if m.Session.State != "complete" || len(m.Documents) == 0 {
		return all, problems, nil
	}
	sum := sha256.Sum256(first)
	marker, err := manifest.NewMarker(m.Session.ID, len(first), hex.EncodeToString(sum[:])).Encode()
	if err != nil {
		return nil, nil, err
	}
	sum = sha256.Sum256(marker)
	return append(all, source{
		session: m.Session.ID, file: recfleetv1.RecordingFile_RECORDING_FILE_MARKER, key: manifest.MarkerName, bytes: int64(len(marker)), sha256: sum[:],
	}), problems, nil
}

// readObjects reads every object that catalog or manifest name, and then the documents.
func (a *app) readObjects(
	ctx context.Context, client recfleetv1.RecordingServiceClient, s *recfleetv1.Session, m manifest.Manifest, documents []source, reason string, v *verdict,
) error {
	named := filesOf(m)
	var total int64
	for _, from := range documents {
		total += from.bytes
	}
	known := map[int]bool{}
	for _, g := range s.GetSegments() {
		known[int(g.GetNumber())] = g.GetRecording() != nil
		if g.GetRecording() == nil {
			continue
		}
		for _, from := range sourcesOf(g.GetRecording()) {
			total += from.bytes
		}
	}
	for _, g := range m.Segments {
		if g.Object != nil && !known[g.Number] {
			v.Objects = append(v.Objects, objectVerdict{Segment: g.Number, Key: g.Object.Key})
			v.Problems = append(v.Problems, verify.Problem{Kind: verify.Missing, Segment: g.Number, Detail: g.Object.Key + " is not in the catalog, and cannot be read"})
		}
	}
	bar := a.progress("verify", total, 0)
	defer bar.Close()
	d := &downloader{client: client, idle: a.timeout, bar: func(string, int64, int64) io.WriteCloser { return shared{bar} }, reason: reason, entire: true}
	for _, g := range s.GetSegments() {
		if g.GetRecording() == nil {
			continue
		}
		for _, from := range sourcesOf(g.GetRecording()) {
			o, problem, err := d.examine(ctx, from, named[from.key])
			if err != nil {
				return err
			}
			v.Objects = append(v.Objects, o)
			if problem == nil {
				continue
			}
			v.Problems = append(v.Problems, *problem)
			if problem.Kind == verify.Unreadable && len(v.Objects) == 1 && m.Format == "" {
				return nil // neither the manifest nor the first object: the archive is away
			}
		}
	}
	for _, from := range documents {
		o, problem, err := d.examine(ctx, from, nil)
		if err != nil {
			return err
		}
		v.Objects = append(v.Objects, o)
		if problem != nil {
			v.Problems = append(v.Problems, *problem)
		}
	}
	return nil
}

// sourcesOf returns the objects of a recording.
func sourcesOf(r *recfleetv1.Recording) []source {
	video := videoOf(r)
	all := []source{video}
	for file, o := range map[recfleetv1.RecordingFile]*recfleetv1.ArchivedObject{
		recfleetv1.RecordingFile_RECORDING_FILE_SPRITE: r.GetThumbnails().GetSprite(),
		recfleetv1.RecordingFile_RECORDING_FILE_INDEX:  r.GetThumbnails().GetIndex(),
	} {
		if o != nil {
			all = append(all, source{video.session, video.segment, file, o.GetObjectKey(), o.GetBytes(), o.GetSha256()})
		}
	}
	slices.SortFunc(all, func(a, b source) int { return cmp.Compare(a.file, b.file) })
	return all
}

// filesOf returns what a manifest says of every object that belongs to its segments, by key.
func filesOf(m manifest.Manifest) map[string]*manifest.File {
	named := map[string]*manifest.File{}
	for _, g := range m.Segments {
		if o := g.Object; o != nil {
			named[o.Key] = &manifest.File{Key: o.Key, Version: o.Version, Bytes: o.Bytes, SHA256: o.SHA256}
			if t := o.Thumbnails; t != nil {
				named[t.Sprite.Key], named[t.Index.Key] = &t.Sprite, &t.Index
			}
		}
	}
	return named
}

// shared is a bar that lasts longer than one download.
type shared struct{ io.Writer }

func (shared) Close() error { return nil }

// examine reads one object. The error is for what would keep it from reading all others too.
func (d *downloader) examine(ctx context.Context, from source, expected *manifest.File) (objectVerdict, *verify.Problem, error) {
	n := int(from.segment)
	o := objectVerdict{Segment: n, Key: from.key, Bytes: from.bytes}
	problem := func(kind verify.Kind, format string, args ...any) (objectVerdict, *verify.Problem, error) {
		return o, &verify.Problem{Kind: kind, Segment: n, Detail: from.key + " " + fmt.Sprintf(format, args...)}, nil
	}
	sum := sha256.New()
	err := d.stream(ctx, io.Discard, sum, 0, from)
	var size *sizeError
	switch code := code(err); {
	case ctx.Err() != nil:
		return o, nil, ctx.Err()
	case errors.As(err, &size):
		return problem(verify.Altered, "has another size: %v", size)
	case code == codes.Unauthenticated || code == codes.PermissionDenied || code == codes.InvalidArgument:
		return o, nil, err
	case code == codes.NotFound:
		return problem(verify.Missing, "is not in the archive")
	case code == codes.DataLoss:
		return problem(verify.Altered, "is damaged: %v", err)
	case err != nil:
		return problem(verify.Unreadable, "cannot be read: %v", err)
	}
	o.SHA256 = hex.EncodeToString(sum.Sum(nil))
	switch {
	case !bytes.Equal(sum.Sum(nil), from.sha256) && from.segment == 0:
		return problem(verify.Altered, "has SHA-256 %s, and must have %x", o.SHA256, from.sha256)
	case !bytes.Equal(sum.Sum(nil), from.sha256):
		return problem(verify.Altered, "has SHA-256 %s, in the catalog %x", o.SHA256, from.sha256)
	case expected != nil && (o.SHA256 != expected.SHA256 || o.Bytes != expected.Bytes):
		return problem(verify.Altered, "has SHA-256 %s, in the manifest %s", o.SHA256, expected.SHA256)
	}
	o.Intact = true
	return o, nil, nil
}
