-- What the sweep after deletions comes by: few sessions of many are deleted at a time.
CREATE INDEX sessions_deleted ON sessions (deleted_time) WHERE deleted_time > 0;
