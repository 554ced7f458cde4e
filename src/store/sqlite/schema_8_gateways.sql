-- Schema 8: the gateways, as they find each other.

CREATE TABLE gateway (
    number  INTEGER PRIMARY KEY,
    epoch   INTEGER NOT NULL,
    address TEXT NOT NULL,     -- where the others call it; empty while it has not said so
    seen_at INTEGER NOT NULL,  -- when it last said that it is there
    as_of   INTEGER NOT NULL   -- everything that it had journaled by then is here
) STRICT;

INSERT INTO gateway (number, epoch, address, seen_at, as_of)
SELECT gateway, epoch, '', 0, 0 FROM journal;
