-- A segment is sealed early when its stream is this large.
ALTER TABLE sessions ADD COLUMN segment_bytes BIGINT NOT NULL DEFAULT 536870912;
