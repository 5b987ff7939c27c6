-- What is to be done with a session's recordings. hold_time is since when nothing of it may be deleted, 0 where it may;
-- retain_until is when its retention ends, 0 where it does not. delete_ordered_time is when the deletion was ordered that
-- deleted_time tells the end of. pool is the label of the encoders that its segments are for, empty for any.
ALTER TABLE sessions ADD COLUMN hold_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN hold_by TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN hold_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN retain_until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN delete_ordered_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN deleted_by TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN delete_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN pool TEXT NOT NULL DEFAULT '';
UPDATE sessions SET retain_until = end_time + retention WHERE end_time > 0 AND retention > 0 AND retention < 3000000000000000000;
CREATE INDEX sessions_to_expire ON sessions (retain_until) WHERE retain_until > 0 AND hold_time = 0 AND delete_ordered_time = 0;
CREATE INDEX sessions_to_delete ON sessions (delete_ordered_time) WHERE delete_ordered_time > 0 AND deleted_time = 0;

-- priority is 0 for backfill to 3 where a viewer waits. turn orders the jobs of one priority so that sessions take turns.
ALTER TABLE jobs ADD COLUMN priority BIGINT NOT NULL DEFAULT 1;
ALTER TABLE jobs ADD COLUMN pool TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN turn BIGINT NOT NULL DEFAULT 0;
CREATE INDEX jobs_waiting ON jobs (pool, priority DESC, turn, available_time, session_id, segment) WHERE state IN ('available', 'retryable');
CREATE INDEX jobs_by_time ON jobs (created_time, id);
CREATE INDEX jobs_by_state_and_time ON jobs (state, created_time, id);

-- Encoders as they were last heard of. labels is JSON; busy is its load in thousandths. draining is what it says itself,
-- drain_time since when it was ordered to drain, 0 where it was not.
CREATE TABLE encoders (
  id         TEXT   NOT NULL PRIMARY KEY,
  host       TEXT   NOT NULL,
  version    TEXT   NOT NULL,
  labels     TEXT   NOT NULL,
  slots      BIGINT NOT NULL,
  running    BIGINT NOT NULL,
  busy       BIGINT NOT NULL,
  draining   BIGINT NOT NULL,
  drain_time BIGINT NOT NULL,
  drain_by   TEXT   NOT NULL,
  first_time BIGINT NOT NULL,
  seen_time  BIGINT NOT NULL
);
CREATE INDEX encoders_by_seen ON encoders (seen_time, id);

-- Duties that one coordinator does at a time. term grows each time that another one takes it.
CREATE TABLE duties (
  name       TEXT   NOT NULL PRIMARY KEY,
  holder     TEXT   NOT NULL,
  term       BIGINT NOT NULL,
  until_time BIGINT NOT NULL
);

-- Who did what. Each record holds the hash of the one before.
CREATE TABLE audit (
  number      BIGINT NOT NULL PRIMARY KEY,
  record_time BIGINT NOT NULL,
  who         TEXT   NOT NULL,
  action      TEXT   NOT NULL,
  object      TEXT   NOT NULL,
  reason      TEXT   NOT NULL,
  result      TEXT   NOT NULL,
  origin      TEXT   NOT NULL,
  previous    TEXT   NOT NULL,
  hash        TEXT   NOT NULL
);
CREATE INDEX audit_by_who ON audit (who, number);
CREATE INDEX audit_by_action ON audit (action, number);
CREATE INDEX audit_by_object ON audit (object, number);
CREATE INDEX audit_by_time ON audit (record_time, number);
CREATE TABLE audit_head (
  one    BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
  number BIGINT NOT NULL,
  hash   TEXT   NOT NULL
);
INSERT INTO audit_head (one, number, hash) VALUES (1, 0, '');
