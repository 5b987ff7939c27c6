-- position orders sessions by their start and is unique: the start, and a nanosecond more for every one that was there
-- before. length_class grows with the session's length, -1 while it has no end. deleted_time is when its recordings were
-- deleted, 0 where they were not.
ALTER TABLE sessions ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN length_class BIGINT NOT NULL DEFAULT -1;
ALTER TABLE sessions ADD COLUMN deleted_time BIGINT NOT NULL DEFAULT 0;

-- The words of each session, and what it can be filtered by as words of their own; the rowid is the position, so that
-- matches come in the order of the starts.
CREATE VIRTUAL TABLE session_search USING fts5(terms, content='', contentless_delete=1, detail='none', tokenize='ascii', prefix='3 4 5 6');
