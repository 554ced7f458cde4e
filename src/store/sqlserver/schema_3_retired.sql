-- Schema 3: gateways that leave the fleet, and who speaks for them from then on.

-- It stops by itself so long after its last word; 0: never.
ALTER TABLE gateway ADD membership_s BIGINT NOT NULL DEFAULT 0;
-- Whom it was asked to hand itself over to.
ALTER TABLE gateway ADD drains_to SMALLINT NULL;
-- Who speaks for it; NULL while it does so itself,
ALTER TABLE gateway ADD adopter SMALLINT NULL;
-- and since when.
ALTER TABLE gateway ADD retired_at BIGINT NULL;
-- 1: whoever spoke for it before is off for certain.
ALTER TABLE gateway ADD is_off BIT NOT NULL DEFAULT 0;
