-- Schema 8: the operators' trail: who did what, when, to what.

CREATE TABLE trail (
    number   BIGINT NOT NULL PRIMARY KEY, -- a number is never given twice: readers go on after one
    at       BIGINT NOT NULL,
    request  BINARY(16) NOT NULL,    -- what was asked, as one: the same again is the same act
    gateway  SMALLINT NULL,          -- that carried it out; NULL: a command line did
    user_id  BIGINT NULL,            -- who asked; likewise
    username NVARCHAR(128) NULL,     -- what they were called then
    act      NVARCHAR(64) NOT NULL,  -- as 'paused'
    kind     NVARCHAR(64) NOT NULL,  -- to what, as 'activity'
    target   BIGINT NULL,            -- its id; NULL where nobody knows whether it was made
    detail   NVARCHAR(MAX) NOT NULL, -- may be empty
    is_known BIT NOT NULL            -- 0: it may have been done, or not
);
CREATE INDEX trail_by_request ON trail (request);
CREATE INDEX trail_by_age ON trail (at);
INSERT INTO counter (name, last) VALUES ('trail', 0);
