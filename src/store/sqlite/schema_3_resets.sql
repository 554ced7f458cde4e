-- Schema 3: the one open password reset that a user may have.
CREATE TABLE password_reset (
    user_id INTEGER PRIMARY KEY REFERENCES account (id),
    token   BLOB NOT NULL UNIQUE, -- the digest of the token; the token itself is nowhere
    until   INTEGER NOT NULL
) STRICT;
CREATE INDEX password_reset_by_end ON password_reset (until);
