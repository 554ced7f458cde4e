-- Schema 15: the operators' trail: who did what, when, to what.

CREATE TABLE trail (
    number   INTEGER PRIMARY KEY AUTOINCREMENT, -- a number is never given twice: readers go on after one
    at       INTEGER NOT NULL,
    request  BLOB NOT NULL,    -- what was asked, as one: the same again is the same act
    gateway  INTEGER,          -- that carried it out; NULL: a command line did
    user_id  INTEGER,          -- who asked; likewise
    username TEXT,             -- what they were called then
    act      TEXT NOT NULL,    -- as 'paused'
    kind     TEXT NOT NULL,    -- to what, as 'activity'
    target   INTEGER,          -- its id; NULL where nobody knows whether it was made
    detail   TEXT NOT NULL,    -- may be empty
    is_known INTEGER NOT NULL, -- 0: it may have been done, or not
    CHECK ((gateway IS NULL) = (user_id IS NULL))
) STRICT;
CREATE INDEX trail_by_request ON trail (request);
CREATE INDEX trail_by_age ON trail (at);
