-- The small pictures of a recording and their index, as JSON; empty where there are none.
ALTER TABLE segments ADD COLUMN thumbnails TEXT NOT NULL DEFAULT '';
