-- How many times what a record tells of has happened; 0 for once.
ALTER TABLE audit ADD COLUMN times BIGINT NOT NULL DEFAULT 0;
