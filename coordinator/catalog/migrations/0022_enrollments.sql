-- Who may join as an agent. Of a token there is only its hash; aws_account and aws_arn are set where there is none. stacks and
-- fleets are JSON lists of patterns. max_uses is 0 for any number, revoke_time 0 where it holds.
CREATE TABLE enrollments (
  id          TEXT   NOT NULL PRIMARY KEY,
  hash        TEXT   NOT NULL UNIQUE,
  description TEXT   NOT NULL,
  stacks      TEXT   NOT NULL,
  fleets      TEXT   NOT NULL,
  aws_account TEXT   NOT NULL,
  aws_arn     TEXT   NOT NULL,
  create_by   TEXT   NOT NULL,
  create_time BIGINT NOT NULL,
  expire_time BIGINT NOT NULL,
  max_uses    BIGINT NOT NULL,
  uses        BIGINT NOT NULL,
  revoke_by   TEXT   NOT NULL,
  revoke_time BIGINT NOT NULL
);
CREATE INDEX enrollments_by_time ON enrollments (create_time, id);

-- Agents that have joined, each by its key.
CREATE TABLE enrolled_agents (
  id            TEXT   NOT NULL PRIMARY KEY,
  enrollment_id TEXT   NOT NULL REFERENCES enrollments (id),
  public_key    TEXT   NOT NULL UNIQUE,
  machine       TEXT   NOT NULL,
  origin        TEXT   NOT NULL,
  aws_arn       TEXT   NOT NULL,
  enroll_time   BIGINT NOT NULL,
  renew_time    BIGINT NOT NULL,
  revoke_by     TEXT   NOT NULL,
  revoke_time   BIGINT NOT NULL
);
CREATE INDEX enrolled_agents_by_time ON enrolled_agents (enroll_time, id);
CREATE INDEX enrolled_agents_by_enrollment ON enrolled_agents (enrollment_id, enroll_time, id);
CREATE INDEX enrolled_agents_revoked ON enrolled_agents (revoke_time) WHERE revoke_time <> 0;

-- Nonces that were used, until they have run out.
CREATE TABLE spent_nonces (
  nonce       TEXT   NOT NULL PRIMARY KEY,
  expire_time BIGINT NOT NULL
);
CREATE INDEX spent_nonces_by_time ON spent_nonces (expire_time);

-- The keys by which enrolled agents are known to the bus, until what was signed for them has run out.
CREATE TABLE agent_bus_keys (
  bus_key     TEXT   NOT NULL PRIMARY KEY,
  agent_id    TEXT   NOT NULL,
  expire_time BIGINT NOT NULL
);
CREATE INDEX agent_bus_keys_by_agent ON agent_bus_keys (agent_id);
CREATE INDEX agent_bus_keys_by_time ON agent_bus_keys (expire_time);
