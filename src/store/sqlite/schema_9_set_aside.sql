-- Schema 9: rows of the journals that the store did not take, with the reason.

CREATE TABLE set_aside (
    gateway  INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    position INTEGER NOT NULL, -- where the run of records ends that they are from
    number   INTEGER NOT NULL, -- within the run
    subject  TEXT NOT NULL,    -- what it is about, as 'order 42'
    records  TEXT NOT NULL,    -- that it came from, one a line
    reason   TEXT NOT NULL,
    PRIMARY KEY (gateway, epoch, position, number)
) STRICT, WITHOUT ROWID;
