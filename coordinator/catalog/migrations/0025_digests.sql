-- What daily digests tell: sessions that were closed, and sessions whose recordings were deleted. day is that of the digest that
-- tells it, empty before. The manifest's columns are empty until it was read.
CREATE TABLE digest_entries (
  session_id       TEXT   NOT NULL,
  kind             TEXT   NOT NULL,
  entry_time       BIGINT NOT NULL,
  manifest_sha256  TEXT   NOT NULL DEFAULT '',
  manifest_bytes   BIGINT NOT NULL DEFAULT 0,
  manifest_version TEXT   NOT NULL DEFAULT '',
  day              TEXT   NOT NULL DEFAULT '',
  PRIMARY KEY (session_id, kind)
);
CREATE INDEX digest_entries_open ON digest_entries (entry_time, session_id, kind) WHERE day = '';
INSERT INTO digest_entries (session_id, kind, entry_time)
  SELECT id, 'closed', CASE WHEN end_time > created_time THEN end_time ELSE created_time END FROM sessions WHERE state IN ('complete', 'interrupted', 'empty');
INSERT INTO digest_entries (session_id, kind, entry_time) SELECT id, 'deleted', deleted_time FROM sessions WHERE deleted_time > 0;

-- The days that were told of. content is the digest until it is in the archive, written 1 from then on.
CREATE TABLE digest_days (
  day         TEXT   NOT NULL PRIMARY KEY,
  number      BIGINT NOT NULL,
  audit_first BIGINT NOT NULL,
  audit_last  BIGINT NOT NULL,
  content     TEXT   NOT NULL DEFAULT '',
  sha256      TEXT   NOT NULL DEFAULT '',
  written     BIGINT NOT NULL DEFAULT 0
);
