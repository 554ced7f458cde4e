-- Schema 2: payments whose money is owed back are found by an index of their own. 4 is "refund_due".

CREATE INDEX payment_owed_back ON payment (id) WHERE status = 4;
