-- When agents were last heard of, by any coordinator, and what they said. It may be lost: agents say it again.
CREATE UNLOGGED TABLE agents (
  session_id  TEXT   NOT NULL PRIMARY KEY,
  coordinator TEXT   NOT NULL,
  seen_time   BIGINT NOT NULL,
  frame_time  BIGINT NOT NULL,
  spooled     BIGINT NOT NULL,
  idle        BIGINT NOT NULL
);
