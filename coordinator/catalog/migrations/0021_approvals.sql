-- Orders that wait, or waited, for a second person. action is as the audit has it; ask_person and end_person are who answers for
-- whoever asked and decided. state is pending, approved, refused or expired; end_time is 0 while it is pending.
CREATE TABLE approvals (
  id          TEXT   NOT NULL PRIMARY KEY,
  action      TEXT   NOT NULL,
  session_id  TEXT   NOT NULL REFERENCES sessions (id),
  reason      TEXT   NOT NULL,
  state       TEXT   NOT NULL,
  ask_by      TEXT   NOT NULL,
  ask_person  TEXT   NOT NULL,
  ask_time    BIGINT NOT NULL,
  expire_time BIGINT NOT NULL,
  end_by      TEXT   NOT NULL,
  end_person  TEXT   NOT NULL,
  end_reason  TEXT   NOT NULL,
  end_time    BIGINT NOT NULL
);
CREATE UNIQUE INDEX approvals_pending ON approvals (session_id, action) WHERE state = 'pending';
CREATE INDEX approvals_by_time ON approvals (ask_time, id);
