-- Schema 16: the oldest schema whose versions of seckill work on this one, too.

CREATE TABLE schema_serves (since INTEGER NOT NULL) STRICT;
INSERT INTO schema_serves (since) VALUES (16);
