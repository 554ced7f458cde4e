-- Schema 6: activities that several gateways share. A member may hold units of one; a generation
-- names a life of what Redis remembers of it, and is given once.

ALTER TABLE activity ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;

CREATE TABLE lease_member (
    activity_id INTEGER NOT NULL REFERENCES activity (id),
    gateway     INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    journal_id  BLOB NOT NULL,
    resting     INTEGER NOT NULL DEFAULT 0, -- 1 once it will sell nothing more and has no open order
    kept        INTEGER,                    -- units that stay out of the activity; NULL until it is done
    PRIMARY KEY (activity_id, gateway)
) STRICT, WITHOUT ROWID;
