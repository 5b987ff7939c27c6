-- Pictures that the agent has taken so far.
ALTER TABLE agents ADD COLUMN frames BIGINT NOT NULL DEFAULT 0;
