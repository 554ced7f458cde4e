-- Schema 2: rows of the journals that the store did not take, with the reason.

CREATE TABLE set_aside (
    gateway  SMALLINT NOT NULL,
    epoch    SMALLINT NOT NULL,
    position BIGINT NOT NULL,        -- where the run of records ends that they are from
    number   BIGINT NOT NULL,        -- within the run
    subject  NVARCHAR(64) NOT NULL,  -- what it is about, as 'order 42'
    records  NVARCHAR(MAX) NOT NULL, -- that it came from, one a line
    reason   NVARCHAR(MAX) NOT NULL,
    PRIMARY KEY (gateway, epoch, position, number)
);
