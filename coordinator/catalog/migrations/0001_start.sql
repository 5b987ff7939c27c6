-- Only TEXT and BIGINT, so that SQLite and Postgres take the same statements. Times are nanoseconds since 1970, 0 where
-- there is none. Hashes are lower-case hexadecimal.

CREATE TABLE sessions (
  id               TEXT   NOT NULL PRIMARY KEY,
  request_id       TEXT   NOT NULL UNIQUE,
  state            TEXT   NOT NULL,
  state_reason     TEXT   NOT NULL,
  user_name        TEXT   NOT NULL,
  stack            TEXT   NOT NULL,
  fleet            TEXT   NOT NULL,
  instance         TEXT   NOT NULL,
  metadata         TEXT   NOT NULL,
  agent_version    TEXT   NOT NULL,
  archive_prefix   TEXT   NOT NULL,
  frame_rate       BIGINT NOT NULL,
  segment_length   BIGINT NOT NULL,
  start_time       BIGINT NOT NULL,
  created_time     BIGINT NOT NULL,
  end_time         BIGINT NOT NULL,
  lost_time        BIGINT NOT NULL,
  stop_reason      TEXT   NOT NULL,
  end_reason       TEXT   NOT NULL,
  ended_by         TEXT   NOT NULL,
  last_segment     BIGINT NOT NULL,
  last_event       BIGINT NOT NULL
);
CREATE INDEX sessions_by_start ON sessions (start_time, id);
CREATE INDEX sessions_by_state ON sessions (state, start_time, id);
CREATE INDEX sessions_by_user ON sessions (user_name, start_time, id);
CREATE INDEX sessions_by_stack ON sessions (stack, start_time, id);
CREATE INDEX sessions_by_fleet ON sessions (fleet, start_time, id);
CREATE INDEX sessions_by_instance ON sessions (instance, start_time, id);

CREATE TABLE events (
  session_id TEXT   NOT NULL REFERENCES sessions (id),
  number     BIGINT NOT NULL,
  event_time BIGINT NOT NULL,
  kind       TEXT   NOT NULL,
  body       TEXT   NOT NULL,
  PRIMARY KEY (session_id, number)
);

CREATE TABLE epochs (
  session_id TEXT   NOT NULL REFERENCES sessions (id),
  number     BIGINT NOT NULL,
  start_time BIGINT NOT NULL,
  width      BIGINT NOT NULL,
  height     BIGINT NOT NULL,
  monitors   TEXT   NOT NULL,
  cause      TEXT   NOT NULL,
  PRIMARY KEY (session_id, number)
);

CREATE TABLE gaps (
  session_id TEXT   NOT NULL REFERENCES sessions (id),
  start_time BIGINT NOT NULL,
  end_time   BIGINT NOT NULL,
  cause      TEXT   NOT NULL,
  detail     TEXT   NOT NULL,
  PRIMARY KEY (session_id, start_time, end_time, cause)
);

-- What the agent says of a segment that it sealed; the segment itself exists once the bus is seen to hold it.
CREATE TABLE seals (
  session_id  TEXT   NOT NULL REFERENCES sessions (id),
  segment     BIGINT NOT NULL,
  epoch       BIGINT NOT NULL,
  start_time  BIGINT NOT NULL,
  end_time    BIGINT NOT NULL,
  width       BIGINT NOT NULL,
  height      BIGINT NOT NULL,
  frame_count BIGINT NOT NULL,
  chunk_count BIGINT NOT NULL,
  byte_count  BIGINT NOT NULL,
  chain_start TEXT   NOT NULL,
  chain_end   TEXT   NOT NULL,
  PRIMARY KEY (session_id, segment)
);

CREATE TABLE segments (
  session_id      TEXT   NOT NULL REFERENCES sessions (id),
  number          BIGINT NOT NULL,
  state           TEXT   NOT NULL,
  sealed_by       TEXT   NOT NULL,
  epoch           BIGINT NOT NULL,
  start_time      BIGINT NOT NULL,
  end_time        BIGINT NOT NULL,
  width           BIGINT NOT NULL,
  height          BIGINT NOT NULL,
  frame_count     BIGINT NOT NULL,
  chunk_count     BIGINT NOT NULL,
  byte_count      BIGINT NOT NULL,
  chain_start     TEXT   NOT NULL,
  chain_end       TEXT   NOT NULL,
  purged          BIGINT NOT NULL,
  object_key      TEXT   NOT NULL,
  object_version  TEXT   NOT NULL,
  object_bytes    BIGINT NOT NULL,
  object_sha256   TEXT   NOT NULL,
  video_width     BIGINT NOT NULL,
  video_height    BIGINT NOT NULL,
  video_frames    BIGINT NOT NULL,
  video_duration  BIGINT NOT NULL,
  video_codec     TEXT   NOT NULL,
  ffmpeg_version  TEXT   NOT NULL,
  encoder_version TEXT   NOT NULL,
  encoder_id      TEXT   NOT NULL,
  PRIMARY KEY (session_id, number)
);
CREATE INDEX segments_to_purge ON segments (session_id, number) WHERE state = 'archived' AND purged = 0;

CREATE TABLE jobs (
  id             TEXT   NOT NULL PRIMARY KEY,
  session_id     TEXT   NOT NULL REFERENCES sessions (id),
  segment        BIGINT NOT NULL,
  state          TEXT   NOT NULL,
  generation     BIGINT NOT NULL,
  failures       BIGINT NOT NULL,
  setbacks       BIGINT NOT NULL,
  created_time   BIGINT NOT NULL,
  available_time BIGINT NOT NULL,
  lease_end_time BIGINT NOT NULL,
  encoder_id     TEXT   NOT NULL,
  detail         TEXT   NOT NULL,
  UNIQUE (session_id, segment)
);
CREATE INDEX jobs_by_state ON jobs (state, available_time, id);
CREATE INDEX jobs_by_encoder ON jobs (encoder_id) WHERE state = 'running';
