-- Schema 3: gateways that leave the fleet, and who speaks for them from then on.
ALTER TABLE gateway ADD
    membership_s BIGINT NOT NULL DEFAULT 0, -- it stops by itself so long after its last word; 0: never
    drains_to    SMALLINT NULL,             -- whom it was asked to hand itself over to
    adopter      SMALLINT NULL,             -- who speaks for it; NULL while it does so itself,
    retired_at   BIGINT NULL,               -- and since when
    is_off       BIT NOT NULL DEFAULT 0;    -- 1: whoever spoke for it before is off for certain
