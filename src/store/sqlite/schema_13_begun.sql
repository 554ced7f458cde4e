-- Schema 13: requests that the journal of one gateway carries out, and whether the store has it from there.

ALTER TABLE once ADD COLUMN is_done INTEGER; -- 0 or 1; NULL of all others, and where an earlier release began it
CREATE INDEX once_by_key ON once (key);
