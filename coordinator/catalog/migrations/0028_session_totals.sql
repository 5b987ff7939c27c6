-- What is summed up of a session's segments and gaps, so that a page of sessions need not look at them. Times are in nanoseconds.
ALTER TABLE sessions ADD COLUMN segment_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN recorded BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN archived_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN archived_bytes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN gap_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN missing BIGINT NOT NULL DEFAULT 0;
UPDATE sessions SET
  (segment_count, recorded, archived_count, archived_bytes) = (
    SELECT COUNT(*), COALESCE(CAST(SUM(end_time - start_time) AS BIGINT), 0),
      COALESCE(CAST(SUM(CASE WHEN state = 'archived' THEN 1 ELSE 0 END) AS BIGINT), 0), COALESCE(CAST(SUM(object_bytes) AS BIGINT), 0)
    FROM segments WHERE session_id = sessions.id),
  (gap_count, missing) = (SELECT COUNT(*), COALESCE(CAST(SUM(end_time - start_time) AS BIGINT), 0) FROM gaps WHERE session_id = sessions.id)
  WHERE id IN (SELECT session_id FROM segments UNION SELECT session_id FROM gaps);
