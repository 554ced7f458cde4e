-- Schema 12: units of orders of a member that were refunded without them: it is lent them, and nobody sells them.

ALTER TABLE lease_member ADD COLUMN written_off INTEGER NOT NULL DEFAULT 0;
