-- Schema 1. It has been released: a change of it is a migration of its own.
-- Instants are milliseconds since the Unix epoch, money is in minor units.

CREATE TABLE account (
    id            INTEGER PRIMARY KEY,
    username      TEXT NOT NULL UNIQUE,
    display_name  TEXT NOT NULL,
    password_hash TEXT,
    roles         INTEGER NOT NULL
) STRICT;

CREATE TABLE revocation (
    number     INTEGER PRIMARY KEY AUTOINCREMENT, -- a number is never given twice: readers go on after one
    token      BLOB,                              -- one token, or
    user_id    INTEGER,                           -- all of a user's
    valid_from INTEGER,                           -- that were issued before this
    until      INTEGER NOT NULL,
    CHECK ((token IS NULL) = (user_id IS NOT NULL) AND (user_id IS NULL) = (valid_from IS NULL))
) STRICT;
CREATE INDEX revocation_by_end ON revocation (until);

CREATE TABLE once (
    user_id INTEGER NOT NULL,
    key     BLOB NOT NULL,
    body    BLOB NOT NULL,
    object  INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (user_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX once_by_age ON once (at);

-- The last version that any product or activity was given.
CREATE TABLE version (last INTEGER NOT NULL) STRICT;
INSERT INTO version VALUES (0);

CREATE TABLE product (
    id          INTEGER PRIMARY KEY,
    title       TEXT NOT NULL,
    description TEXT NOT NULL,
    image_url   TEXT NOT NULL,
    price       INTEGER NOT NULL CHECK (price >= 0),
    currency    TEXT NOT NULL CHECK (length(currency) = 3),
    stock       INTEGER NOT NULL CHECK (stock >= 0),
    version     INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX product_by_version ON product (version);

CREATE TABLE activity (
    id             INTEGER PRIMARY KEY,
    title          TEXT NOT NULL,
    product_id     INTEGER NOT NULL REFERENCES product (id),
    product_title  TEXT,    -- NULL in a draft: the product's of now
    list_price     INTEGER, -- likewise
    sale_price     INTEGER NOT NULL CHECK (sale_price >= 0),
    stocked        INTEGER NOT NULL CHECK (stocked > 0),
    left_units     INTEGER NOT NULL DEFAULT 0 CHECK (left_units BETWEEN 0 AND stocked),
    per_user_limit INTEGER NOT NULL CHECK (per_user_limit > 0),
    pay_window_ms  INTEGER NOT NULL CHECK (pay_window_ms > 0),
    starts_at      INTEGER NOT NULL,
    ends_at        INTEGER NOT NULL,
    admission      INTEGER NOT NULL CHECK (admission IN (0, 1)),
    published      INTEGER NOT NULL DEFAULT 0 CHECK (published IN (0, 1)),
    paused         INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
    ended          INTEGER NOT NULL DEFAULT 0 CHECK (ended IN (0, 1)),
    closed         INTEGER NOT NULL DEFAULT 0 CHECK (closed IN (0, 1)),
    version        INTEGER NOT NULL,
    CHECK (published = (product_title IS NOT NULL) AND published = (list_price IS NOT NULL))
) STRICT;
CREATE INDEX activity_of_product ON activity (product_id);
CREATE UNIQUE INDEX activity_by_version ON activity (version);

-- Flushed from the journals. No foreign keys here: a flush checks once a batch what they would
-- check once a row.
CREATE TABLE sales_order (
    id          INTEGER PRIMARY KEY,
    activity_id INTEGER NOT NULL,
    user_id     INTEGER NOT NULL,
    quantity    INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    placed_at   INTEGER NOT NULL,
    pay_before  INTEGER NOT NULL,
    moved_at    INTEGER
) STRICT;
CREATE INDEX order_of_activity ON sales_order (activity_id, placed_at);

-- The index of orders by buyer, in parts of some 100,000. Buyers come in no order, so in one large
-- index each new order dirties a page of its own; a part is small enough for a batch to meet the
-- same pages again. A reader looks into every part.
CREATE TABLE part (
    id     INTEGER PRIMARY KEY,
    orders INTEGER NOT NULL
) STRICT;
CREATE TABLE order_of_user (
    part     INTEGER NOT NULL,
    user_id  INTEGER NOT NULL,
    order_id INTEGER NOT NULL,
    PRIMARY KEY (part, user_id, order_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE payment (
    id         INTEGER PRIMARY KEY,
    order_id   INTEGER NOT NULL,
    amount     INTEGER NOT NULL,
    status     INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    moved_at   INTEGER
) STRICT;
CREATE INDEX payment_of_order ON payment (order_id);

CREATE TABLE journal (
    gateway    INTEGER PRIMARY KEY,
    journal_id BLOB NOT NULL,
    epoch      INTEGER NOT NULL,
    position   INTEGER NOT NULL
) STRICT;
