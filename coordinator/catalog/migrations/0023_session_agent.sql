-- The enrolled agent that began the session, and that alone may go on with it; empty for one that came with a token that agents
-- share.
ALTER TABLE sessions ADD COLUMN agent_id TEXT NOT NULL DEFAULT '';
