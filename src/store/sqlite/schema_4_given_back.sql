-- Schema 4: orders whose money went back, or is to, are told apart by an index of just those payments.

CREATE INDEX payment_given_back ON payment (order_id) WHERE status IN (4, 5);
