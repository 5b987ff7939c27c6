-- Running totals of what is only ever added, so that nobody has to count it: gaps by cause, segments by who sealed them,
-- leases that ran out. amount is in nanoseconds.
CREATE TABLE tallies (
  name   TEXT   NOT NULL,
  label  TEXT   NOT NULL,
  times  BIGINT NOT NULL,
  amount BIGINT NOT NULL,
  PRIMARY KEY (name, label)
);
INSERT INTO tallies (name, label, times, amount)
  SELECT 'gap', cause, COUNT(*), CAST(SUM(end_time - start_time) AS BIGINT) FROM gaps GROUP BY cause;
INSERT INTO tallies (name, label, times, amount)
  SELECT 'segment', sealed_by, COUNT(*), CAST(SUM(end_time - start_time) AS BIGINT) FROM segments GROUP BY sealed_by;
INSERT INTO tallies (name, label, times, amount)
  SELECT 'rescue', '', CAST(SUM(rescues) AS BIGINT), 0 FROM jobs HAVING SUM(rescues) > 0;

-- The sessions of which nothing is recorded though their users are active, and since when.
CREATE TABLE unrecorded (
  session_id TEXT   NOT NULL PRIMARY KEY REFERENCES sessions (id),
  since      BIGINT NOT NULL
);
