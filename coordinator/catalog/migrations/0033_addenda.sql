-- Manifests that go on from one before, see internal/manifest/addendum.go. What one says is settled here before it is in the
-- archive; content is empty from when it was written on. A gap of a quarantined segment that was archived since is one that no
-- manifest tells of yet.
CREATE TABLE addenda (
  session_id   TEXT   NOT NULL REFERENCES sessions (id),
  number       BIGINT NOT NULL,
  content      TEXT   NOT NULL,
  bytes        BIGINT NOT NULL,
  sha256       TEXT   NOT NULL,
  written_time BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (session_id, number)
);
CREATE INDEX gaps_quarantined ON gaps (session_id) WHERE cause = 'segment_quarantined';
