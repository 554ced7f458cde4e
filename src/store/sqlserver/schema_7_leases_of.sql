-- Schema 7: the leases of one gateway are found without a look at everybody's.

CREATE INDEX lease_member_of_gateway ON lease_member (gateway, activity_id);
