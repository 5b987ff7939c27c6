-- When sessions of a class of length were active, and whether they are kept, can be told from the index alone.
CREATE INDEX sessions_by_length_and_times ON sessions (length_class, position, start_time, end_time, deleted_time);
DROP INDEX sessions_by_length;
