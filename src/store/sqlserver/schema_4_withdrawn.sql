-- Schema 4: units of a shared activity that a member was lent and an operator has withdrawn.

ALTER TABLE lease_member ADD withdrawn BIGINT NOT NULL DEFAULT 0;
