-- As in SQLite. Texts that are sorted by are compared by their bytes.
ALTER TABLE sessions ALTER COLUMN user_name TYPE TEXT COLLATE "C";
ALTER TABLE sessions ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN length_class BIGINT NOT NULL DEFAULT -1;
ALTER TABLE sessions ADD COLUMN deleted_time BIGINT NOT NULL DEFAULT 0;

-- The words of each session, and what it can be filtered by as words of their own.
CREATE TABLE session_search (
  position BIGINT   NOT NULL PRIMARY KEY,
  terms    TSVECTOR NOT NULL
);
