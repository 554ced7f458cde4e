-- Schema 1. It has been released: a change of it is a migration of its own.
-- Instants are milliseconds since the Unix epoch, money is in minor units. T-SQL that SQL Server 2019 and
-- Babelfish 4 both know: no MERGE, no lock hints, no indexes within a table.

-- What was given last, by name: ids, numbers and versions. Whoever draws one holds the row until the end
-- of the transaction, so that what is drawn becomes visible in its order.
CREATE TABLE counter (
    name VARCHAR(16) NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO counter (name, last)
VALUES ('account', 0), ('revocation', 0), ('version', 0), ('product', 0), ('activity', 0);

CREATE TABLE account (
    id            BIGINT NOT NULL PRIMARY KEY,
    username      NVARCHAR(128) COLLATE Latin1_General_BIN2 NOT NULL CONSTRAINT account_username UNIQUE,
    display_name  NVARCHAR(MAX) NOT NULL,
    password_hash NVARCHAR(512) NULL,
    roles         TINYINT NOT NULL
);

CREATE TABLE revocation (
    number     BIGINT NOT NULL PRIMARY KEY, -- a number is never given twice: readers go on after one
    token      BINARY(16) NULL,             -- one token, or
    user_id    BIGINT NULL,                 -- all of a user's
    valid_from BIGINT NULL,                 -- that were issued before this
    until      BIGINT NOT NULL
);
CREATE INDEX revocation_by_end ON revocation (until);

-- The one open password reset that a user may have; the token itself is nowhere, only its digest.
CREATE TABLE password_reset (
    user_id BIGINT NOT NULL PRIMARY KEY REFERENCES account (id),
    token   BINARY(16) NOT NULL CONSTRAINT password_reset_token UNIQUE,
    until   BIGINT NOT NULL
);
CREATE INDEX password_reset_by_end ON password_reset (until);

CREATE TABLE once (
    user_id BIGINT NOT NULL,
    digest  BINARY(16) NOT NULL, -- of the idempotency key
    body    BINARY(16) NOT NULL,
    object  BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (user_id, digest)
);
CREATE INDEX once_by_age ON once (at);

CREATE TABLE product (
    id          BIGINT NOT NULL PRIMARY KEY,
    title       NVARCHAR(MAX) NOT NULL,
    description NVARCHAR(MAX) NOT NULL,
    image_url   NVARCHAR(MAX) NOT NULL,
    price       BIGINT NOT NULL CHECK (price >= 0),
    currency    CHAR(3) NOT NULL,
    stock       BIGINT NOT NULL CHECK (stock >= 0),
    version     BIGINT NOT NULL
);
CREATE UNIQUE INDEX product_by_version ON product (version);

CREATE TABLE activity (
    id             BIGINT NOT NULL PRIMARY KEY,
    title          NVARCHAR(MAX) NOT NULL,
    product_id     BIGINT NOT NULL REFERENCES product (id),
    product_title  NVARCHAR(MAX) NULL, -- NULL in a draft: the product's of now
    list_price     BIGINT NULL,        -- likewise
    sale_price     BIGINT NOT NULL CHECK (sale_price >= 0),
    stocked        BIGINT NOT NULL CHECK (stocked > 0),
    left_units     BIGINT NOT NULL DEFAULT 0,
    per_user_limit BIGINT NOT NULL CHECK (per_user_limit > 0),
    pay_window_ms  BIGINT NOT NULL CHECK (pay_window_ms > 0),
    starts_at      BIGINT NOT NULL,
    ends_at        BIGINT NOT NULL,
    admission      BIT NOT NULL,
    published      BIT NOT NULL DEFAULT 0,
    paused         BIT NOT NULL DEFAULT 0,
    ended          BIT NOT NULL DEFAULT 0,
    closed         BIT NOT NULL DEFAULT 0,
    copied         BIGINT NULL, -- units that the gateway has taken over; NULL where nothing was flushed yet
    generation     BIGINT NOT NULL DEFAULT 0,
    version        BIGINT NOT NULL,
    CHECK (left_units >= 0 AND left_units <= stocked)
);
CREATE INDEX activity_of_product ON activity (product_id, id);
CREATE UNIQUE INDEX activity_by_version ON activity (version);

-- A gateway that may hold units of an activity which several share.
CREATE TABLE lease_member (
    activity_id BIGINT NOT NULL REFERENCES activity (id),
    gateway     SMALLINT NOT NULL,
    epoch       SMALLINT NOT NULL,
    journal_id  BINARY(16) NOT NULL,
    resting     BIT NOT NULL DEFAULT 0, -- 1 once it will sell nothing more and has no open order
    kept        BIGINT NULL,            -- units that stay out of the activity; NULL until it is done
    PRIMARY KEY (activity_id, gateway)
);

-- Flushed from the journals. No foreign keys here: a flush checks once a batch what they would check
-- once a row.
CREATE TABLE sales_order (
    id          BIGINT NOT NULL PRIMARY KEY,
    activity_id BIGINT NOT NULL,
    user_id     BIGINT NOT NULL,
    quantity    BIGINT NOT NULL,
    status      TINYINT NOT NULL,
    placed_at   BIGINT NOT NULL,
    pay_before  BIGINT NOT NULL,
    moved_at    BIGINT NULL,
    refunded_at BIGINT NULL -- of a sale that had closed before: the journal has the order as paid for ever
);
CREATE INDEX order_of_activity ON sales_order (activity_id, placed_at, id);
CREATE INDEX order_of_user ON sales_order (user_id, placed_at, id);

CREATE TABLE payment (
    id         BIGINT NOT NULL PRIMARY KEY,
    order_id   BIGINT NOT NULL,
    amount     BIGINT NOT NULL,
    status     TINYINT NOT NULL,
    started_at BIGINT NOT NULL,
    moved_at   BIGINT NULL,
    digest     BINARY(16) NULL, -- of the idempotency key that started it; NULL where it came without one
    body       BINARY(16) NULL
);
CREATE INDEX payment_of_order ON payment (order_id, id);
CREATE INDEX payment_owed_back ON payment (id) WHERE status = 4;

CREATE TABLE journal (
    gateway    SMALLINT NOT NULL PRIMARY KEY,
    journal_id BINARY(16) NOT NULL,
    epoch      SMALLINT NOT NULL,
    position   BIGINT NOT NULL
);

-- The gateways, as they find each other.
CREATE TABLE gateway (
    number  SMALLINT NOT NULL PRIMARY KEY,
    epoch   SMALLINT NOT NULL,
    address NVARCHAR(512) NOT NULL, -- where the others call it; empty while it has not said so
    seen_at BIGINT NOT NULL,        -- when it last said that it is there
    as_of   BIGINT NOT NULL         -- everything that it had journaled by then is here
);
