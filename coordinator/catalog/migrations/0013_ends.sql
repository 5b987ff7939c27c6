-- What one fleet's or one stack's sessions come by in the order of their ends; the state is looked at there too. And a user's
-- sessions of one fleet.
CREATE INDEX sessions_kept_by_fleet_and_end ON sessions
  (fleet, (CASE WHEN end_time = 0 THEN 9223372036854775807 ELSE end_time END), position, state, deleted_time) WHERE deleted_time = 0;
CREATE INDEX sessions_kept_by_stack_and_end ON sessions
  (stack, (CASE WHEN end_time = 0 THEN 9223372036854775807 ELSE end_time END), position, state, deleted_time) WHERE deleted_time = 0;
CREATE INDEX sessions_kept_by_user_and_fleet ON sessions (user_name, fleet, position) WHERE deleted_time = 0;
