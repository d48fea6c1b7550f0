-- Deletions are remembered for weeks, flag changes for an hour: up to where each is forgotten is noted apart, so that a
-- client that comes back after a day is still told what has gone, and no more than that.

alter table store.mailbox add column forgotten_modseq bigint not null default 0;
update store.mailbox set forgotten_modseq = pruned_modseq where pruned_modseq > 0;
comment on column store.mailbox.forgotten_modseq is 'Deletions up to this number are no longer in store.expunged: clients that know less are told of all that is missing (RFC 7162)';
