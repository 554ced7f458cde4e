-- Schema 5: units of orders of a member that were refunded without them: it is lent them, and nobody sells them.

ALTER TABLE lease_member ADD written_off BIGINT NOT NULL DEFAULT 0;
