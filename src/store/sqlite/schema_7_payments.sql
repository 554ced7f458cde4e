-- Schema 7: what started a payment, so that the same request is answered alike when its order has left
-- memory; and since when an order is refunded whose sale had closed before.

ALTER TABLE payment ADD COLUMN key BLOB;  -- digests; NULL where it came without a key,
ALTER TABLE payment ADD COLUMN body BLOB; -- and of payments from before this schema

-- The journal's books are closed with the sale and have the order as paid (3) for ever. Until now it
-- was read off its payments: owed back (4) or given back (5), and none that succeeded (2).
ALTER TABLE sales_order ADD COLUMN refunded_at INTEGER;
UPDATE sales_order SET refunded_at =
    (SELECT max(moved_at) FROM payment WHERE order_id = sales_order.id AND status IN (4, 5))
WHERE status = 3
    AND id IN (SELECT order_id FROM payment WHERE status IN (4, 5))
    AND NOT EXISTS (SELECT 1 FROM payment WHERE order_id = sales_order.id AND status = 2);
DROP INDEX payment_given_back;
