-- Pictures that were handed to FFmpeg in the present attempt, as its encoder last said.
ALTER TABLE jobs ADD COLUMN frames_done BIGINT NOT NULL DEFAULT 0;
