-- Schema 10: gateways that leave the fleet, and who speaks for them from then on.

ALTER TABLE gateway ADD COLUMN membership_s INTEGER NOT NULL DEFAULT 0; -- it stops by itself so long after its last word; 0: never
ALTER TABLE gateway ADD COLUMN drains_to INTEGER;                       -- whom it was asked to hand itself over to
ALTER TABLE gateway ADD COLUMN adopter INTEGER;                         -- who speaks for it; NULL while it does so itself,
ALTER TABLE gateway ADD COLUMN retired_at INTEGER;                      -- and since when
ALTER TABLE gateway ADD COLUMN is_off INTEGER NOT NULL DEFAULT 0;       -- 1: whoever spoke for it before is off for certain
