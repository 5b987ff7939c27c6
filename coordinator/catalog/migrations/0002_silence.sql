-- When the agent was last heard of, where it is silent; 0 where it is not.
ALTER TABLE sessions ADD COLUMN silent_time BIGINT NOT NULL DEFAULT 0;
