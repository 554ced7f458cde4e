-- Schema 9: the oldest schema whose versions of seckill work on this one, too.

ALTER TABLE schema_version ADD serves_since BIGINT NULL;
