-- The groups that a session's user was in when it began, each on a line of its own, with a line's end before the first; scopes
-- look at them.
ALTER TABLE sessions ADD COLUMN user_groups TEXT NOT NULL DEFAULT '';

-- Tokens of scripts. Of the secret there is only its hash. roles is a JSON list; owner is who answers for what is done with it.
-- expire_time is 0 for never, revoke_time 0 where it holds.
CREATE TABLE access_tokens (
  id          TEXT   NOT NULL PRIMARY KEY,
  name        TEXT   NOT NULL,
  hash        TEXT   NOT NULL UNIQUE,
  roles       TEXT   NOT NULL,
  owner       TEXT   NOT NULL,
  create_by   TEXT   NOT NULL,
  create_time BIGINT NOT NULL,
  expire_time BIGINT NOT NULL,
  revoke_by   TEXT   NOT NULL,
  revoke_time BIGINT NOT NULL
);
CREATE UNIQUE INDEX access_tokens_by_name ON access_tokens (name) WHERE revoke_time = 0;
CREATE INDEX access_tokens_by_time ON access_tokens (create_time, id);
