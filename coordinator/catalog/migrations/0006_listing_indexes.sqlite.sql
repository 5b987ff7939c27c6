DROP INDEX sessions_by_start;
DROP INDEX sessions_by_state;
DROP INDEX sessions_by_user;
DROP INDEX sessions_by_stack;
DROP INDEX sessions_by_fleet;
DROP INDEX sessions_by_instance;
CREATE UNIQUE INDEX sessions_by_position ON sessions (position);
CREATE INDEX sessions_by_state ON sessions (state, position);
CREATE INDEX sessions_by_user ON sessions (user_name, position);
CREATE INDEX sessions_by_length ON sessions (length_class, position);
CREATE INDEX sessions_by_end ON sessions ((CASE WHEN end_time = 0 THEN 9223372036854775807 ELSE end_time END), position);
-- Most fleets belong to one stack: asking for a fleet and another stack must not look through all of the fleet.
CREATE INDEX sessions_kept_by_fleet_and_stack ON sessions (fleet, stack, position) WHERE deleted_time = 0;
CREATE INDEX sessions_kept_by_fleet_and_state ON sessions (fleet, state, position) WHERE deleted_time = 0;
