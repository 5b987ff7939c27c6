-- What a session keeps of the policy that it was begun under. mode is strict, grace or best-effort, empty where the policy
-- left it to the agent; retention is in nanoseconds from the end of the session, 0 for ever; policy is the rest of it, as JSON.
ALTER TABLE sessions ADD COLUMN policy_rule TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN policy_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN mode TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN retention BIGINT NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN policy TEXT NOT NULL DEFAULT '{}';
