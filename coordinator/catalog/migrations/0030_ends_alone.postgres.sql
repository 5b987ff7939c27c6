-- An index on an expression is read without the table only where it has the column of the expression too.
DROP INDEX sessions_by_end;
CREATE INDEX sessions_by_end ON sessions ((CASE WHEN end_time = 0 THEN 9223372036854775807 ELSE end_time END), position, end_time);
