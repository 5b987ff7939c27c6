-- A tally is the sum of its parts, so that those who add to it at the same time seldom wait for each other.
CREATE TABLE tally_parts (
  name   TEXT   NOT NULL,
  label  TEXT   NOT NULL,
  part   BIGINT NOT NULL,
  times  BIGINT NOT NULL,
  amount BIGINT NOT NULL,
  PRIMARY KEY (name, label, part)
);
INSERT INTO tally_parts (name, label, part, times, amount) SELECT name, label, 0, times, amount FROM tallies;
DROP TABLE tallies;
