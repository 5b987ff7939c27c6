-- How often a lease of the job ran out, and why a segment was quarantined.
ALTER TABLE jobs ADD COLUMN rescues BIGINT NOT NULL DEFAULT 0;
ALTER TABLE segments ADD COLUMN quarantine_cause TEXT NOT NULL DEFAULT '';
