-- Which part of a recording a record is about, in milliseconds since the session's start, and how the caller proved who it was.
ALTER TABLE audit ADD COLUMN auth       TEXT   NOT NULL DEFAULT '';
ALTER TABLE audit ADD COLUMN span_start BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit ADD COLUMN span_end   BIGINT NOT NULL DEFAULT 0;
