-- Schema 11: units of a shared activity that a member was lent and an operator has withdrawn.

ALTER TABLE lease_member ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;
