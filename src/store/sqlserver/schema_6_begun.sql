-- Schema 6: requests that the journal of one gateway carries out, and whether the store has it from there.

ALTER TABLE once ADD is_done BIT NULL; -- NULL of all others, and where an earlier release began it
CREATE INDEX once_by_digest ON once (digest);
